/** How much a controller may bring (R15): one that sends what nobody needs wastes this, and no more. */
import { mapKey } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import { Refused } from './reply.ts';

/** Seconds by which a controller may be ahead of its pace. */
const BURST_SECONDS = 2;

interface Account {
  /** Bytes taken that its pace has not covered yet. */
  ahead: number;
  atMs: number;
}

export class RepairQuota {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** One for each controller of the configuration at most. */
  readonly #accounts = new Map<string, Account>();

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Refuses BUSY when the controller has to wait. */
  take(controllerId: Uint8Array, bytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    const name = mapKey(controllerId);
    const account = this.#accounts.get(name) ?? { ahead: 0, atMs: nowMs };
    this.#accounts.set(name, account);
    account.ahead = Math.max(0, account.ahead - ((nowMs - account.atMs) * this.#bytesPerSecond) / 1000);
    account.atMs = nowMs;
    if (account.ahead > BURST_SECONDS * this.#bytesPerSecond) throw new Refused('BUSY', 'the quota for repairs is used up for now');
    account.ahead += bytes;
  }
}
