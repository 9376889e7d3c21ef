/**
 * How many unfinished uploads, and bytes of their parts, the buckets of one account may hold. Nobody sees them in a
 * listing of objects, and they stay until they are completed or aborted: without a bound one client could fill the
 * storage nodes unnoticed. What this gateway has under way is counted from the moment it is let in; what other
 * gateways write is seen when their logs have been followed, so the quota is kept to within that.
 */
import type { Clock } from '../../base/ports.ts';
import type { BucketRegistry } from '../buckets/bucket-registry.ts';
import type { ObjectIndex } from '../index/object-index.ts';
import type { TallyRow } from '../index/rows.ts';

/** Of one account. */
export interface UploadQuota {
  readonly uploads: number;
  /** Of parts of unfinished uploads. */
  readonly bytes: number;
}

/** Storage nodes keep about a kilobyte of each upload in memory; bytes are bounded where somebody says so. */
export const DEFAULT_UPLOAD_QUOTA: UploadQuota = { uploads: 10_000, bytes: Number.MAX_SAFE_INTEGER };

/** A sum over all buckets of an account is used for so long. */
const FRESH_MS = 1_000;
const ACCOUNTS_MAX = 4096;

export interface UploadQuotaPorts {
  readonly index: Pick<ObjectIndex, 'buckets' | 'uploaded'>;
  readonly registry: Pick<BucketRegistry, 'describe'>;
  readonly clock: Clock;
  /** Account of buckets that name none. */
  readonly ownerId: string;
  readonly quota: UploadQuota;
}

interface Account {
  /** By the index, and what ended well since. */
  held: TallyRow;
  untilMs: number;
  summing: Promise<void> | null;
  underWay: TallyRow;
}

/** What was let in, until it has ended. */
export interface Admission {
  /** `isStored`: it is there, or may be. */
  end(isStored: boolean): void;
}

export class UploadQuotas {
  readonly #ports: UploadQuotaPorts;
  readonly #accounts = new Map<string, Account>();

  constructor(ports: UploadQuotaPorts) {
    this.#ports = ports;
  }

  /** Null: it would be above the quota. `end` what was let in. */
  async admit(accountId: string, more: TallyRow): Promise<Admission | null> {
    const account = this.#account(accountId);
    if (account.untilMs <= this.#ports.clock.monotonicMs()) {
      account.summing ??= this.#sum(accountId, account).finally(() => {
        account.summing = null;
      });
      await account.summing;
    }
    const { uploads, bytes } = plus(plus(account.held, account.underWay), more);
    const { quota } = this.#ports;
    if ((more.uploads > 0 && uploads > quota.uploads) || (more.bytes > 0 && bytes > quota.bytes)) return null;
    account.underWay = plus(account.underWay, more);
    return {
      end: (isStored) => {
        account.underWay = minus(account.underWay, more);
        if (isStored) account.held = plus(account.held, more);
      },
    };
  }

  async #sum(accountId: string, account: Account): Promise<void> {
    const { index, registry, clock, ownerId } = this.#ports;
    let held: TallyRow = { uploads: 0, bytes: 0 };
    for await (const [bucketId, row] of index.buckets()) {
      const described = registry.describe(bucketId, row);
      if (described === null || described.state === 'DELETED' || (described.owner ?? ownerId) !== accountId) continue;
      held = plus(held, await index.uploaded(bucketId, described.gen));
    }
    account.held = held;
    account.untilMs = clock.monotonicMs() + FRESH_MS;
  }

  #account(accountId: string): Account {
    let account = this.#accounts.get(accountId);
    if (account === undefined) {
      if (this.#accounts.size >= ACCOUNTS_MAX) this.#forgetIdle();
      account = { held: NOTHING, untilMs: Number.NEGATIVE_INFINITY, summing: null, underWay: NOTHING };
      this.#accounts.set(accountId, account);
    }
    return account;
  }

  #forgetIdle(): void {
    for (const [accountId, { underWay, summing }] of this.#accounts) {
      if (underWay.uploads === 0 && underWay.bytes === 0 && summing === null) this.#accounts.delete(accountId);
    }
  }
}

const NOTHING: TallyRow = { uploads: 0, bytes: 0 };

function plus(a: TallyRow, b: TallyRow): TallyRow {
  return { uploads: a.uploads + b.uploads, bytes: a.bytes + b.bytes };
}

function minus(a: TallyRow, b: TallyRow): TallyRow {
  return { uploads: a.uploads - b.uploads, bytes: a.bytes - b.bytes };
}
