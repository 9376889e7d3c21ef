/**
 * The authority to repair that a controller holds (protocol 6.8): signed by a gateway, for a day at most. It is
 * asked for again while it still lasts; while there is none, repair waits, and says so.
 */
import { isOperationError } from '../base/errors.ts';
import type { Clock, Telemetry } from '../base/ports.ts';
import type { ControllerClient } from '../client/controller-client.ts';
import { decodeRepairAuthority } from '../protocol/repair-authority.ts';
import type { SignedBody } from '../protocol/slot.ts';

/** Where it comes from: a gateway beside this process, or a file. Null: there is none now. */
export type AuthoritySource = () => Promise<SignedBody | null>;

export interface AuthorityOptions {
  readonly source: AuthoritySource;
  readonly client: Pick<ControllerClient, 'authorityFault'>;
  readonly controllerId: Uint8Array;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

const LOOK_MS = 1_000;
/** Once it lasts less than this it is asked for anew. */
const RENEW_MS = 12 * 3600 * 1000;

export class Authority {
  readonly #options: AuthorityOptions;
  #held: SignedBody | null = null;
  #fault: string | null = 'no gateway has given one yet';

  constructor(options: AuthorityOptions) {
    this.#options = options;
  }

  /** The authority, if it holds now. */
  current(): SignedBody | null {
    if (this.#held === null) return null;
    const fault = this.#options.client.authorityFault(this.#held, this.#options.controllerId);
    if (fault === null) return this.#held;
    this.#fault = fault;
    return null;
  }

  /** Until when it lasts, Unix milliseconds, and what is wrong where there is none. */
  status(): { readonly notAfterMs: number | null; readonly fault: string | null } {
    const held = this.current();
    return held === null ? { notAfterMs: null, fault: this.#fault } : { notAfterMs: endOf(held), fault: null };
  }

  /** Asks now, if it is time. Returns whether there is one that holds. */
  async renew(): Promise<boolean> {
    const { source, client, controllerId, clock, telemetry } = this.#options;
    const held = this.current();
    if (held !== null && endOf(held) - clock.nowMs() > RENEW_MS) return true;
    try {
      const given = await source();
      const fault = given === null ? 'no gateway gives one' : client.authorityFault(given, controllerId);
      if (fault === null) this.#held = given;
      else this.#fault = fault;
    } catch (error) {
      if (!isOperationError(error)) throw error;
      this.#fault = error.message;
      telemetry.event('debug', 'authority not renewed', { error: error.message });
    }
    return this.current() !== null;
  }

  /** Keeps it renewed until the signal aborts. `onHeld` is told when there is one after there was none. */
  async run(signal: AbortSignal, onHeld: () => Promise<void>): Promise<void> {
    let wasHeld = false;
    while (!signal.aborted) {
      const isHeld = await this.renew();
      if (isHeld && !wasHeld) await onHeld();
      wasHeld = isHeld;
      await this.#options.clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }
}

function endOf({ body }: SignedBody): number {
  const decoded = decodeRepairAuthority(body);
  return decoded.ok ? decoded.value.notAfterMs : 0;
}
