/**
 * The keys of one bucket generation (protocol 13.12): wrapping keys, of which the newest wraps new data keys,
 * and the key of the PRF that turns names into keyIds. They travel sealed in the bucket record. A version's
 * data key is random, wrapped for (bucketId, keyId); its metadata is sealed under a key derived from the data
 * key. A tombstone has no data key: its metadata is sealed under a key derived from the wrapping key.
 *
 * Every open returns null when the bytes are not what these keys sealed for this place.
 */
import { assert } from '../base/assert.ts';
import { concat, equal, u32be, utf8 } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { ENC_META_BYTES_MAX } from '../base/limits.ts';
import type { Random } from '../base/ports.ts';
import { AEAD_KEY_BYTES, prf } from '../crypto/primitives.ts';
import type { Manifest } from '../protocol/manifest.ts';
import { decodeMeta, encodeMeta } from './metadata.ts';
import type { ContentMeta, CustomerSeal, KeylessMeta, VersionMeta } from './metadata.ts';
import { deriveKey } from './purposes.ts';
import { open, pad, seal, sealedPaddedBytes, unpad } from './sealing.ts';

const VERSION_BYTES = 4;

/** One wrapping key; versions rise with each rotation. */
export interface WrappingKey {
  readonly version: number;
  readonly key: Uint8Array;
}

/** What a bucket record seals for its generation. */
export interface BucketSecrets {
  /** In rising order of versions; the last one wraps. At least one. */
  readonly wrappingKeys: readonly WrappingKey[];
  readonly nameKey: Uint8Array;
}

/** The parts of a manifest that its sealed fields are bound to, and those fields. */
export type SealedVersion = Pick<Manifest, 'bucketId' | 'keyId' | 'kind' | 'wrappedKey' | 'encMeta'>;

export interface OpenedVersion {
  readonly meta: VersionMeta;
  /** Null for a tombstone. */
  readonly dataKey: Uint8Array | null;
}

export class BucketKeys {
  readonly bucketId: Uint8Array;
  readonly gen: number;
  readonly #secrets: BucketSecrets;
  readonly #newest: WrappingKey;

  constructor(bucketId: Uint8Array, gen: number, secrets: BucketSecrets) {
    const newest = secrets.wrappingKeys.at(-1);
    assert(newest !== undefined, 'a bucket has a wrapping key');
    this.bucketId = bucketId;
    this.gen = gen;
    this.#secrets = secrets;
    this.#newest = newest;
  }

  /** keyId of an object: tells nodes nothing about its name; differs in every generation. */
  objectKeyId(name: string): Uint8Array {
    return prf(this.#secrets.nameKey, 'object', utf8(name));
  }

  /** keyId of the hidden register of a multipart upload. */
  uploadKeyId(uploadId: Uint8Array): Uint8Array {
    return prf(this.#secrets.nameKey, 'upload', uploadId);
  }

  /** keyId of one part of a multipart upload (13.3). */
  partKeyId(uploadId: Uint8Array, number: number): Uint8Array {
    return prf(this.#secrets.nameKey, 'part', uploadId, u32be(number));
  }

  /** keyId of the hidden register of the bucket's documents. */
  documentsKeyId(): Uint8Array {
    return prf(this.#secrets.nameKey, 'documents');
  }

  wrap(random: Random, keyId: Uint8Array, dataKey: Uint8Array): Uint8Array {
    assert(dataKey.length === AEAD_KEY_BYTES, 'a data key has 32 bytes');
    const { version, key } = this.#newest;
    return concat(u32be(version), seal(random, key, this.#associated('data key', keyId), dataKey));
  }

  unwrap(keyId: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
    if (wrapped.length < VERSION_BYTES) return null;
    const wrapping = this.#wrappingKey(wrapped);
    if (wrapping === undefined) return null;
    const dataKey = open(wrapping.key, this.#associated('data key', keyId), wrapped.subarray(VERSION_BYTES));
    return dataKey?.length === AEAD_KEY_BYTES ? dataKey : null;
  }

  /** `encMeta` of a version that has a data key. TOO_LARGE when it does not fit a manifest. */
  sealMeta(
    random: Random,
    keyId: Uint8Array,
    dataKey: Uint8Array,
    meta: ContentMeta,
  ): Uint8Array {
    return seal(random, deriveKey(dataKey, 'meta'), this.#associated('meta', keyId), padded(meta, 0));
  }

  /** `encMeta` of what has no content. */
  sealTombstone(random: Random, keyId: Uint8Array, meta: KeylessMeta): Uint8Array {
    const { version, key } = this.#newest;
    const associated = this.#associated('tombstone', keyId);
    return concat(
      u32be(version),
      seal(random, deriveKey(key, 'tombstone'), associated, padded(meta, VERSION_BYTES)),
    );
  }

  /** Opens what a manifest of this bucket and generation seals. */
  openVersion(version: SealedVersion): OpenedVersion | null {
    const { keyId, encMeta } = version;
    if (version.kind === 'TOMBSTONE' || version.kind === 'REMOVE') {
      const wrapping = this.#wrappingKey(encMeta);
      if (wrapping === undefined) return null;
      const key = deriveKey(wrapping.key, 'tombstone');
      const meta = parsed(open(key, this.#associated('tombstone', keyId), encMeta.subarray(VERSION_BYTES)));
      return meta !== null && meta.t === (version.kind === 'REMOVE' ? 'remove' : 'tombstone') ? { meta, dataKey: null } : null;
    }
    const dataKey = this.unwrap(keyId, version.wrappedKey);
    if (dataKey === null) return null;
    const meta = parsed(open(deriveKey(dataKey, 'meta'), this.#associated('meta', keyId), encMeta));
    return meta === null || meta.t === 'tombstone' || meta.t === 'remove' ? null : { meta, dataKey };
  }

  #wrappingKey(versioned: Uint8Array): WrappingKey | undefined {
    if (versioned.length < VERSION_BYTES) return undefined;
    const version = new DataView(versioned.buffer, versioned.byteOffset, VERSION_BYTES).getUint32(0);
    return this.#secrets.wrappingKeys.find((candidate) => candidate.version === version);
  }

  /**
   * No stamp: a retry at a higher counter keeps its sealed fields; the manifest's signature binds them to
   * the stamp.
   */
  #associated(what: string, keyId: Uint8Array): Uint8Array {
    return concat(utf8(`holdfast/1/${what}`), new Uint8Array(1), this.bucketId, keyId);
  }
}

function padded(meta: VersionMeta, extraBytes: number): Uint8Array {
  const plain = encodeMeta(meta);
  const bytes = sealedPaddedBytes(plain.length) + extraBytes;
  if (bytes > ENC_META_BYTES_MAX) {
    throw new OperationError(
      'TOO_LARGE',
      `Name and metadata take ${bytes} bytes where ${ENC_META_BYTES_MAX} are allowed.`,
    );
  }
  return pad(plain);
}

function parsed(opened: Uint8Array | null): VersionMeta | null {
  const plain = opened === null ? null : unpad(opened);
  if (plain === null) return null;
  const decoded = decodeMeta(plain);
  return decoded.ok ? decoded.value : null;
}

/** What recognises a customer's key beside `dataKey`. */
export function customerSeal(dataKey: Uint8Array, key: Uint8Array, md5: string): CustomerSeal {
  return { md5, check: Uint8Array.from(prf(dataKey, 'customer key check', key)) };
}

export function fitsCustomer(dataKey: Uint8Array, key: Uint8Array, { check }: CustomerSeal): boolean {
  return equal(prf(dataKey, 'customer key check', key), check);
}

/** The key of the content: the data key, and with it the customer's where there is one. */
export function contentKey(dataKey: Uint8Array, customerKey: Uint8Array | undefined): Uint8Array {
  return customerKey === undefined ? dataKey : Uint8Array.from(prf(dataKey, 'customer key', customerKey));
}
