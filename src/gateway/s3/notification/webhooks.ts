/** The webhooks that an operator has configured: whom the gateway may tell of events at all. */
import { OperationError } from '../../../base/errors.ts';

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const SECRET_LENGTH_MIN = 16;
const URL_LENGTH_MAX = 2048;

export interface Webhook {
  readonly name: string;
  /** https, or http to this machine alone; no credentials in it. */
  readonly url: string;
  /** Shared with the receiver: it signs what is sent. */
  readonly secret: string;
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Throws BAD_ARGUMENT for a webhook that would send events in the clear, or unsigned. */
export function checkedWebhooks(webhooks: readonly Webhook[]): ReadonlyMap<string, Webhook> {
  const byName = new Map<string, Webhook>();
  for (const webhook of webhooks) {
    const refuse = (why: string): OperationError =>
      new OperationError('BAD_ARGUMENT', `webhook '${webhook.name.slice(0, 64)}': ${why}`);
    if (!NAME.test(webhook.name)) throw refuse('its name is not 1 to 64 letters, digits, _ or -');
    if (byName.has(webhook.name)) throw refuse('its name is taken');
    if (webhook.secret.length < SECRET_LENGTH_MIN) throw refuse(`its secret is shorter than ${String(SECRET_LENGTH_MIN)}`);
    const url = URL.canParse(webhook.url) && webhook.url.length <= URL_LENGTH_MAX ? new URL(webhook.url) : undefined;
    if (url === undefined) throw refuse('its URL is not valid');
    const isPrivate = url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname));
    if (!isPrivate) throw refuse('its URL must be https, or http to this machine');
    if (url.username !== '' || url.password !== '' || url.hash !== '') throw refuse('its URL has credentials or a fragment');
    byName.set(webhook.name, webhook);
  }
  return byName;
}
