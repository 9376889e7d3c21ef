/**
 * The owner's root secret and what hangs on it (protocol 13.12): the identifiers of buckets, and the seal of
 * the secret part of bucket records, in which the keys of each bucket generation are kept.
 *
 * The first keys of a generation are derived from the root and not drawn: two gateways that create one bucket
 * at the same moment then agree on its keys as they agree on its identifier, whichever record wins, and
 * nothing that was written under the other is lost. From then on the record is what counts, so the root can
 * be rotated by sealing the records anew.
 */
import { z } from 'zod';
import { assert } from '../base/assert.ts';
import { concat, hex, u32be, utf8 } from '../base/bytes.ts';
import { ENC_META_BYTES_MAX, TIME_MS_MAX } from '../base/limits.ts';
import type { Random } from '../base/ports.ts';
import { prf } from '../crypto/primitives.ts';
import { bytesOf, decode, encode, uintUpTo } from '../protocol/encoding.ts';
import { BucketKeys } from './bucket-keys.ts';
import type { BucketSecrets } from './bucket-keys.ts';
import { deriveKey } from './purposes.ts';
import { open, pad, seal, unpad } from './sealing.ts';

export const ROOT_SECRET_BYTES = 32;
const WRAPPING_KEYS_MAX = 64;

/** The sealed part of a bucket record. */
export interface BucketSeal {
  readonly v: 2;
  readonly name: string;
  /** Unix milliseconds when this generation was created. */
  readonly createdMs: number;
  readonly secrets: BucketSecrets;
  /** Account that made it; null: the owner of the keys. */
  readonly owner: string | null;
  /** Retention of new versions that name none. */
  readonly defaultRetention: {
    readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
    readonly unit: 'days' | 'years';
    readonly count: number;
  } | null;
}

const sealed = {
  name: z.string().min(1).max(255),
  createdMs: uintUpTo(TIME_MS_MAX),
  secrets: z.strictObject({
    wrappingKeys: z
      .array(z.strictObject({ version: uintUpTo(2 ** 32 - 1), key: bytesOf(32) }))
      .min(1)
      .max(WRAPPING_KEYS_MAX),
    nameKey: bytesOf(32),
  }),
};
const sealSchema: z.ZodType<BucketSeal> = z.union([
  z
    .strictObject({ ...sealed, v: z.literal(1) })
    .transform((old): BucketSeal => ({ ...old, v: 2, owner: null, defaultRetention: null })),
  z.strictObject({
    ...sealed,
    v: z.literal(2),
    owner: z.string().max(128).nullable(),
    defaultRetention: z
      .strictObject({
        mode: z.enum(['GOVERNANCE', 'COMPLIANCE']),
        unit: z.enum(['days', 'years']),
        count: uintUpTo(36_500),
      })
      .nullable(),
  }),
]);

export class OwnerKeys {
  readonly #bucketNames: Uint8Array;
  readonly #bucketRecords: Uint8Array;
  readonly #bucketSecrets: Uint8Array;
  /** Names the owner in S3's answers: 64 hex digits. */
  readonly ownerId: string;
  /** Authenticates continuation tokens, which any gateway of the owner may be given. */
  readonly tokenKey: Uint8Array;
  /** Under it names of objects are hashed in audit logs. */
  readonly auditKey: Uint8Array;

  constructor(rootSecret: Uint8Array) {
    assert(rootSecret.length === ROOT_SECRET_BYTES, 'a root secret has 32 bytes');
    this.#bucketNames = deriveKey(rootSecret, 'bucketNames');
    this.#bucketRecords = deriveKey(rootSecret, 'bucketRecords');
    this.#bucketSecrets = deriveKey(rootSecret, 'bucketSecrets');
    this.ownerId = hex(deriveKey(rootSecret, 'ownerId'));
    this.tokenKey = deriveKey(rootSecret, 'tokens');
    this.auditKey = deriveKey(rootSecret, 'auditNames');
  }

  /** The same on every gateway of the owner, in every generation. */
  bucketId(name: string): Uint8Array {
    return prf(this.#bucketNames, 'bucket', utf8(name));
  }

  /** The keys with which a bucket generation begins. */
  firstSecrets(bucketId: Uint8Array, gen: number): BucketSecrets {
    const derive = (what: string): Uint8Array =>
      Uint8Array.from(prf(this.#bucketSecrets, what, bucketId, u32be(gen)));
    return { wrappingKeys: [{ version: 1, key: derive('wrapping key') }], nameKey: derive('name key') };
  }

  /** `encMeta` of a bucket record. */
  sealBucket(random: Random, bucketId: Uint8Array, gen: number, plain: BucketSeal): Uint8Array {
    const out = seal(random, this.#bucketRecords, bucketAssociated(bucketId, gen), pad(encode(plain)));
    assert(out.length <= ENC_META_BYTES_MAX, 'a bucket seal fits its record');
    return out;
  }

  /** Null unless this owner sealed it for this bucket and generation. */
  openBucket(bucketId: Uint8Array, gen: number, encMeta: Uint8Array): OpenedBucket | null {
    const opened = open(this.#bucketRecords, bucketAssociated(bucketId, gen), encMeta);
    const plain = opened === null ? null : unpad(opened);
    if (plain === null) return null;
    const decoded = decode(sealSchema, plain, ENC_META_BYTES_MAX);
    if (!decoded.ok) return null;
    return { seal: decoded.value, keys: new BucketKeys(bucketId, gen, decoded.value.secrets) };
  }
}

export interface OpenedBucket {
  readonly seal: BucketSeal;
  readonly keys: BucketKeys;
}

function bucketAssociated(bucketId: Uint8Array, gen: number): Uint8Array {
  return concat(utf8('holdfast/1/bucket record'), new Uint8Array(1), bucketId, u32be(gen));
}
