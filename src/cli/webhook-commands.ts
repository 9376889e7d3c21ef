/**
 * `holdfast webhook`: whom the gateway may tell of events. A bucket names a webhook by its name; only who runs
 * the gateway says which URL that is. The secret by which a receiver knows what is ours is shown once.
 */
import { OperationError } from '../base/errors.ts';
import { base64url } from '../gateway/s3/http/base64.ts';
import { NodeDisk } from '../platform/disk.ts';
import { changeAccess } from './access-folder.ts';
import { ownerFolder } from './cluster-folder.ts';
import { systemRandom } from './system-ports.ts';
import { formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';
import { readWebhooks, WEBHOOKS_MAX, writeWebhooks } from './webhook-file.ts';

const SECRET_BYTES = 32;

export interface WebhookTarget {
  /** A gateway's folder, or that of `holdfast up`. */
  readonly dir: string;
  readonly terminal: Terminal;
}

/** ALREADY_EXISTS, BAD_ARGUMENT. */
export async function webhookAdd({ dir, terminal, name, url }: WebhookTarget & { name: string; url: string }): Promise<void> {
  const folder = ownerFolder(dir);
  const disk = new NodeDisk(folder);
  const secret = base64url(systemRandom.bytes(SECRET_BYTES));
  await changeAccess(folder, async () => {
    const known = await readWebhooks(disk);
    if (known.some((webhook) => webhook.name === name)) {
      throw new OperationError('ALREADY_EXISTS', `There is a webhook named ${name}.`, { remedy: 'Remove it first, or choose another name.' });
    }
    if (known.length >= WEBHOOKS_MAX) throw new OperationError('BAD_ARGUMENT', `A gateway has at most ${WEBHOOKS_MAX} webhooks.`);
    await writeWebhooks(disk, [...known, { name, url, secret }]);
  });
  const rows = [
    ['webhook', name],
    ['url', url],
    ['secret', secret],
    ['queue', `arn:holdfast:sqs::${name}:webhook`],
    ['topic', `arn:holdfast:sns::${name}:webhook`],
  ];
  const text = `${formatTable(rows)}\nThe secret is shown this once: give it to the receiver, which checks x-holdfast-signature with it.\n`;
  terminal.say('webhook', { name, url, secret }, text);
}

export async function webhookList({ dir, terminal }: WebhookTarget): Promise<void> {
  const webhooks = await readWebhooks(new NodeDisk(ownerFolder(dir)));
  const shown = webhooks.map(({ name, url }) => ({ name, url }));
  const text = shown.length === 0 ? 'There are no webhooks.\n' : `${formatTable([['webhook', 'url'], ...shown.map(({ name, url }) => [name, url])])}\n`;
  terminal.say('webhooks', { webhooks: shown }, text);
}

/** NOT_FOUND. What waits for it is given up, and counted. */
export async function webhookRemove({ dir, terminal, name }: WebhookTarget & { name: string }): Promise<void> {
  const folder = ownerFolder(dir);
  const disk = new NodeDisk(folder);
  await changeAccess(folder, async () => {
    const known = await readWebhooks(disk);
    const left = known.filter((webhook) => webhook.name !== name);
    if (left.length === known.length) throw new OperationError('NOT_FOUND', `There is no webhook named ${name}.`);
    await writeWebhooks(disk, left);
  });
  terminal.say('webhook removed', { name }, `The webhook ${name} is removed.\n`);
}
