import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromUtf8, utf8 } from '../base/bytes.ts';
import { ENC_META_BYTES_MAX } from '../base/limits.ts';
import type { Random } from '../base/ports.ts';
import { encode } from '../protocol/encoding.ts';
import { sha256 } from '../crypto/primitives.ts';
import { accessKeysSchema, createAccessKey, encodeAccessKeys } from './access-keys.ts';
import { BucketKeys } from './bucket-keys.ts';
import type { ObjectMeta, StoredHeaders, TombstoneMeta } from './metadata.ts';
import { decodeMeta, encodeMeta, NO_ATTRIBUTES } from './metadata.ts';
import { OwnerKeys } from './owner-keys.ts';
import { open, pad, PAD_STEP_BYTES, seal, unpad } from './sealing.ts';

function seededRandom(seed: string): Random {
  let count = 0;
  return {
    bytes(wanted) {
      const out = new Uint8Array(wanted);
      for (let at = 0; at < wanted; at += 32)
        out.set(sha256(utf8(`${seed} ${(count += 1)}`)).subarray(0, wanted - at), at);
      return out;
    },
  };
}

const random = seededRandom('keyring');
const owner = new OwnerKeys(new Uint8Array(32).fill(1));
const FIRST = { owner: null, kept: 'NEVER', attributes: NO_ATTRIBUTES, customer: null, partList: null, partListBytes: 0 } as const;
const NO_HEADERS: StoredHeaders = {
  contentType: null,
  cacheControl: null,
  contentDisposition: null,
  contentEncoding: null,
  contentLanguage: null,
  expires: null,
  websiteRedirect: null,
  sse: null,
  user: [],
};

function keysOf(name: string, gen: number): BucketKeys {
  const bucketId = owner.bucketId(name);
  return new BucketKeys(bucketId, gen, owner.firstSecrets(bucketId, gen));
}

function objectMeta(name: string): ObjectMeta {
  return {
    ...FIRST,
    v: 2,
    t: 'object',
    name,
    etag: 'd41d8cd98f00b204e9800998ecf8427e',
    mtimeMs: 1,
    headers: { ...NO_HEADERS, contentType: 'text/plain', user: [['a', 'b\u00e9']] },
    checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'AAAAAA==' },
    parts: 0,
    operation: null,
  };
}

const tombstone: TombstoneMeta = {
  v: 2,
  t: 'tombstone',
  owner: null,
  kept: 'NEVER',
  of: { t: 'object', name: 'a' },
  mtimeMs: 2,
  operation: null,
};

describe('sealing', () => {
  it('pads every length to a step and takes back only exact padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (plain) => {
        const padded = pad(plain);
        expect(padded.length % PAD_STEP_BYTES).toBe(0);
        expect(unpad(padded)).toEqual(plain);
        expect(unpad(padded.subarray(1))).toBeNull();
        if (padded.length > plain.length + 4) expect(unpad(padded.with(padded.length - 1, 1))).toBeNull();
      }),
    );
    expect(unpad(new Uint8Array(0))).toBeNull();
    expect(unpad(new Uint8Array(64).fill(255))).toBeNull();
  });

  it('opens under the same key and associated data alone', () => {
    const key = new Uint8Array(32).fill(7);
    const sealed = seal(random, key, utf8('here'), utf8('secret'));
    expect(fromUtf8(open(key, utf8('here'), sealed) ?? new Uint8Array(0))).toBe('secret');
    expect(open(key, utf8('there'), sealed)).toBeNull();
    expect(open(new Uint8Array(32).fill(8), utf8('here'), sealed)).toBeNull();
    for (let at = 0; at < sealed.length; at += 1) {
      expect(open(key, utf8('here'), sealed.with(at, (sealed[at] ?? 0) ^ 1))).toBeNull();
      expect(open(key, utf8('here'), sealed.subarray(0, at))).toBeNull();
    }
  });
});

describe('bucket keys', () => {
  const keys = keysOf('photos', 1);
  const keyId = keys.objectKeyId('a/b');
  const dataKey = new Uint8Array(32).fill(9);

  function sealedVersion(meta: ObjectMeta) {
    return {
      bucketId: keys.bucketId,
      keyId,
      kind: 'DATA' as const,
      wrappedKey: keys.wrap(random, keyId, dataKey),
      encMeta: keys.sealMeta(random, keyId, dataKey, meta),
    };
  }

  it('give back the metadata and data key of a version', () => {
    const meta = objectMeta('a/b');
    expect(keys.openVersion(sealedVersion(meta))).toEqual({ meta, dataKey });
  });

  it('give back the metadata of a tombstone, which has no data key', () => {
    const encMeta = keys.sealTombstone(random, keyId, tombstone);
    const version = {
      bucketId: keys.bucketId,
      keyId,
      kind: 'TOMBSTONE' as const,
      wrappedKey: new Uint8Array(0),
      encMeta,
    };
    expect(keys.openVersion(version)).toEqual({ meta: tombstone, dataKey: null });
    expect(keysOf('other', 1).openVersion(version)).toBeNull();
    expect(keys.openVersion({ ...version, kind: 'INLINE' })).toBeNull();
  });

  it('open nothing that was sealed for another key, bucket or generation', () => {
    const version = sealedVersion(objectMeta('a/b'));
    expect(keys.openVersion({ ...version, keyId: keys.objectKeyId('a/c') })).toBeNull();
    expect(keysOf('photos', 2).openVersion(version)).toBeNull();
    expect(keysOf('films', 1).openVersion(version)).toBeNull();
    expect(keys.openVersion({ ...version, wrappedKey: new Uint8Array(0) })).toBeNull();
    expect(keys.openVersion({ ...version, kind: 'TOMBSTONE' })).toBeNull();
  });

  it('show the length of a name only in steps', () => {
    const lengths = new Set(
      Array.from({ length: 64 }, (_, i) => sealedVersion(objectMeta('n'.repeat(i + 1))).encMeta.length),
    );
    expect(lengths.size).toBeLessThanOrEqual(2);
  });

  it('give unrelated identifiers to a name, an upload, its parts and another generation', () => {
    const id = new Uint8Array(16).fill(3);
    const ids = [
      keys.objectKeyId('a'),
      keys.objectKeyId('b'),
      keysOf('photos', 2).objectKeyId('a'),
      keys.uploadKeyId(id),
      keys.partKeyId(id, 1),
      keys.partKeyId(id, 2),
    ];
    expect(new Set(ids.map(String)).size).toBe(ids.length);
  });

  it('wrap with the newest key and still open what older ones wrapped', () => {
    const secrets = owner.firstSecrets(keys.bucketId, 1);
    const rotated = new BucketKeys(keys.bucketId, 1, {
      ...secrets,
      wrappingKeys: [...secrets.wrappingKeys, { version: 2, key: new Uint8Array(32).fill(2) }],
    });
    expect(rotated.unwrap(keyId, keys.wrap(random, keyId, dataKey))).toEqual(dataKey);
    expect(keys.unwrap(keyId, rotated.wrap(random, keyId, dataKey))).toBeNull();
  });

  it('take the largest name and user metadata of S3, and refuse more than a manifest holds', () => {
    const largest = {
      ...objectMeta('n'.repeat(1024)),
      headers: {
        ...NO_HEADERS,
        expires: '\u00ff'.repeat(4096),
        user: [['x', '\u00e9'.repeat(2047)] as const],
      },
    };
    expect(keys.openVersion(sealedVersion(largest))?.meta).toEqual(largest);
    const huge = {
      ...largest,
      attributes: { ...NO_ATTRIBUTES, accessControl: 'c'.repeat(ENC_META_BYTES_MAX) },
    };
    expect(() => sealedVersion(huge)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }));
  });
});

describe('metadata', () => {
  it('keeps every name as it is', () => {
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 250 });
    fc.assert(
      fc.property(fc.oneof(name, fc.constantFrom('\ufeff', '\ufeffbom', '\u0000')), (text) => {
        expect(decodeMeta(encodeMeta(objectMeta(text)))).toEqual({ ok: true, value: objectMeta(text) });
        const buried = { ...tombstone, of: { t: 'object' as const, name: text } };
        expect(decodeMeta(encodeMeta(buried))).toEqual({ ok: true, value: buried });
      }),
    );
  });

  it('refuses bytes that are not one of its shapes', () => {
    for (const bad of [
      objectMeta(''),
      objectMeta('n'.repeat(1025)),
      { ...objectMeta('a'), v: 3 as unknown as 2 },
    ]) {
      expect(decodeMeta(encodeMeta(bad)).ok).toBe(false);
    }
    for (const bad of [{}, tombstone, { ...tombstone, t: 'other' }, 'text', null])
      expect(decodeMeta(encode(bad)).ok).toBe(false);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof decodeMeta(bytes).ok === 'boolean'),
    );
  });
});

describe('owner keys', () => {
  it('agree on a bucket and its first keys across gateways, and differ between owners', () => {
    const same = new OwnerKeys(new Uint8Array(32).fill(1));
    const other = new OwnerKeys(new Uint8Array(32).fill(2));
    const bucketId = owner.bucketId('photos');
    expect(same.bucketId('photos')).toEqual(bucketId);
    expect(same.firstSecrets(bucketId, 3)).toEqual(owner.firstSecrets(bucketId, 3));
    expect(other.bucketId('photos')).not.toEqual(bucketId);
    expect(other.firstSecrets(bucketId, 3)).not.toEqual(owner.firstSecrets(bucketId, 3));
  });

  it('open a bucket record only in its place', () => {
    const bucketId = owner.bucketId('photos');
    const sealed = { v: 2 as const, owner: null, defaultRetention: null, name: 'photos', createdMs: 5, secrets: owner.firstSecrets(bucketId, 1) };
    const encMeta = owner.sealBucket(random, bucketId, 1, sealed);
    expect(owner.openBucket(bucketId, 1, encMeta)?.seal).toEqual(sealed);
    expect(owner.openBucket(bucketId, 2, encMeta)).toBeNull();
    expect(owner.openBucket(owner.bucketId('films'), 1, encMeta)).toBeNull();
    expect(new OwnerKeys(new Uint8Array(32)).openBucket(bucketId, 1, encMeta)).toBeNull();
  });
});

describe('access keys', () => {
  it('come back from their file', () => {
    const keys = [createAccessKey(random, 1), createAccessKey(random, 2)];
    expect(keys[0]?.accessKeyId).toMatch(/^[A-Z2-7]{20}$/);
    expect(keys[0]?.secretAccessKey).toMatch(/^[A-Za-z0-9_-]{40}$/);
    expect(accessKeysSchema.parse(JSON.parse(fromUtf8(encodeAccessKeys(keys))))).toEqual({ v: 1, accessKeys: keys });
  });

  it('are refused from a damaged file, without a word of the secret', () => {
    const key = createAccessKey(random, 1);
    for (const keys of [[key, key], [{ ...key, secretAccessKey: `${key.secretAccessKey}!` }], [{ ...key, expires: 1 }]]) {
      const parsed = accessKeysSchema.safeParse(JSON.parse(fromUtf8(encodeAccessKeys(keys))));
      expect(parsed.success).toBe(false);
      expect(String(parsed.error)).not.toContain(key.secretAccessKey);
    }
  });
});
