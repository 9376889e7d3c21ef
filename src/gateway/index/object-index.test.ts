import fc from 'fast-check';
import { MemoryLevel } from 'memory-level';
import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../../base/bytes.ts';
import type { Random } from '../../base/ports.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { BucketKeys } from '../../keyring/bucket-keys.ts';
import type { StoredHeaders, VersionMeta } from '../../keyring/metadata.ts';
import { OwnerKeys } from '../../keyring/owner-keys.ts';
import { LevelStore } from '../../platform/level-store.ts';
import { encodeManifest } from '../../protocol/manifest.ts';
import type { Manifest, SignedManifest } from '../../protocol/manifest.ts';
import { indexedVersion } from './indexed-version.ts';
import { ObjectIndex } from './object-index.ts';
import type { IndexUpdate } from './object-index.ts';

const owner = new OwnerKeys(new Uint8Array(32).fill(1));
const bucketId = Uint8Array.from(owner.bucketId('photos'));
const keys = new BucketKeys(bucketId, 1, owner.firstSecrets(bucketId, 1));
let drawn = 0;
const random: Random = {
  bytes: (count) => Uint8Array.from(sha256(utf8(`random ${(drawn += 1)}`))).subarray(0, count),
};
const NOW_MS = 10_000_000;
const WINDOW_MS = 3_600_000;
const HEADERS: StoredHeaders = {
  contentType: null,
  cacheControl: null,
  contentDisposition: null,
  contentEncoding: null,
  contentLanguage: null,
  expires: null,
  user: [],
};

function newIndex(): ObjectIndex {
  const level = new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' });
  return new ObjectIndex(new LevelStore(level), { holdersNeeded: 3, operationWindowMs: WINDOW_MS });
}

interface Version {
  readonly name: string;
  readonly counter: number;
  readonly isTombstone: boolean;
  readonly operation?: string;
  readonly mtimeMs?: number;
}

const signedVersions = new Map<string, SignedManifest>();

/** The same manifest for the same description. */
function signedOf(version: Version): SignedManifest {
  const id = JSON.stringify(version);
  const known = signedVersions.get(id);
  if (known !== undefined) return known;
  const { name, counter, isTombstone, operation, mtimeMs = NOW_MS } = version;
  const keyId = Uint8Array.from(keys.objectKeyId(name));
  const dataKey = random.bytes(32);
  const mark = operation === undefined ? null : Uint8Array.from(sha256(utf8(`fingerprint ${operation}`)));
  const object: VersionMeta = {
    v: 1,
    t: 'object',
    name,
    etag: `etag ${counter}`,
    mtimeMs,
    headers: HEADERS,
    checksum: null,
    parts: 0,
    operation: mark,
  };
  const manifest: Manifest = {
    v: 1,
    suite: 1,
    bucketId,
    keyId,
    stamp: { gen: 1, counter, writerId: new Uint8Array(16) },
    opId: Uint8Array.from(sha256(utf8(operation ?? id))),
    gatewayId: new Uint8Array(32),
    sessionNonce: new Uint8Array(16),
    kind: isTombstone ? 'TOMBSTONE' : 'INLINE',
    mode: 'PLAIN',
    slot: null,
    epoch: 1,
    bucketStamp: { gen: 1, counter: 1, writerId: new Uint8Array(16) },
    n: 4,
    k: 1,
    size: isTombstone ? 0 : counter,
    cellBytes: 0,
    contentId: new Uint8Array(32),
    retainUntil: 0,
    wrappedKey: isTombstone ? new Uint8Array(0) : keys.wrap(random, keyId, dataKey),
    encMeta: isTombstone
      ? keys.sealTombstone(random, keyId, {
          v: 1,
          t: 'tombstone',
          of: { t: 'object', name },
          mtimeMs,
          operation: mark,
        })
      : keys.sealMeta(random, keyId, dataKey, object),
    clear: new Uint8Array(0),
  };
  const body = encodeManifest(manifest);
  const batch = { size: 1, root: new Uint8Array(32), signature: new Uint8Array(64) };
  const signed: SignedManifest = {
    manifest,
    body,
    hash: Uint8Array.from(sha256(body)),
    proof: { index: 0, path: [], batch },
  };
  signedVersions.set(id, signed);
  return signed;
}

function taken(
  version: Version,
  slots: readonly number[] | 'settled' = 'settled',
  foreign: boolean = false,
): IndexUpdate {
  const signed = signedOf(version);
  return { t: 'version', version: indexedVersion(signed, signed.hash, foreign ? null : keys, NOW_MS), slots };
}

async function listed(index: ObjectIndex): Promise<readonly string[]> {
  const rows = await index.objects(bucketId, 1, new Uint8Array(0), undefined, 1000);
  return rows.map(({ name, size, etag }) => `${name} ${size} ${etag}`);
}

async function unsettled(index: ObjectIndex): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const cert of index.unsettled(bucketId)) found.push(hex(cert));
  return found.sort();
}

describe('the object index', () => {
  it('shows the highest version of each key, whatever comes in which order and how often', async () => {
    const version = fc.record({
      name: fc.constantFrom('a', 'b', 'b/c', '\u00e9', '\ufeffx'),
      counter: fc.integer({ min: 1, max: 4 }),
      isTombstone: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(version, { maxLength: 6 }), { maxLength: 6 }), async (calls) => {
        const index = newIndex();
        // One stamp has one manifest: the first description of it counts.
        const byStamp = new Map<string, Version>();
        const once = calls.map((call) =>
          call.map((v) => {
            const id = `${v.counter} ${v.name}`;
            if (!byStamp.has(id)) byStamp.set(id, v);
            return byStamp.get(id) ?? v;
          }),
        );
        await Promise.all(once.map((call) => index.apply(call.map((v) => taken(v)))));
        const newest = new Map<string, Version>();
        for (const v of byStamp.values())
          if ((newest.get(v.name)?.counter ?? 0) < v.counter) newest.set(v.name, v);
        const live = [...newest.values()]
          .filter((v) => !v.isTombstone)
          .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
        expect(await listed(index)).toEqual(live.map((v) => `${v.name} ${v.counter} etag ${v.counter}`));
        await index.close();
      }),
      { numRuns: 60 },
    );
  });

  it('keeps the certificate of a version until enough logs show it, or something above it', async () => {
    const index = newIndex();
    const [a, b] = [
      signedOf({ name: 'a', counter: 1, isTombstone: false }),
      signedOf({ name: 'b', counter: 1, isTombstone: false }),
    ];
    await index.apply([
      taken({ name: 'a', counter: 1, isTombstone: false }, [0]),
      taken({ name: 'b', counter: 1, isTombstone: false }, [0]),
    ]);
    expect(await unsettled(index)).toEqual([hex(a.hash), hex(b.hash)].sort());
    const seen = (slot: number): IndexUpdate => ({
      t: 'seen',
      keyId: a.manifest.keyId,
      manifestHash: a.hash,
      slot,
    });
    // The same log counts once, however often it shows it.
    await index.apply([seen(0), seen(2), seen(2)]);
    expect((await unsettled(index)).length).toBe(2);
    await index.apply([seen(3)]);
    expect(await unsettled(index)).toEqual([hex(b.hash)]);
    await index.apply([taken({ name: 'b', counter: 2, isTombstone: true })]);
    expect(await unsettled(index)).toEqual([]);
    expect((await listed(index)).length).toBe(1);
  });

  it('does not take one version for another that was seen or settled', async () => {
    const index = newIndex();
    await index.apply([taken({ name: 'a', counter: 2, isTombstone: false }, [0])]);
    const other = signedOf({ name: 'a', counter: 1, isTombstone: false });
    const { keyId } = other.manifest;
    await index.apply([1, 2, 3].map((slot) => ({ t: 'seen', keyId, manifestHash: other.hash, slot })));
    await index.apply([{ t: 'settled', keyId, manifestHash: other.hash }]);
    expect((await unsettled(index)).length).toBe(1);
    expect((await index.key(keyId))?.settled).toBe(false);
  });

  it('shows nothing of a version that does not open, and nothing of what that replaced', async () => {
    const index = newIndex();
    await index.apply([taken({ name: 'a', counter: 1, isTombstone: false })]);
    await index.apply([taken({ name: 'a', counter: 2, isTombstone: false }, 'settled', true)]);
    expect(await listed(index)).toEqual([]);
    await index.apply([taken({ name: 'a', counter: 3, isTombstone: false })]);
    expect(await listed(index)).toEqual(['a 3 etag 3']);
  });

  it('is not led to show a name under the key of another', async () => {
    const { manifest, hash } = signedOf({ name: 'a', counter: 1, isTombstone: false });
    const moved = { ...manifest, keyId: Uint8Array.from(keys.objectKeyId('b')) };
    const signed = { ...signedOf({ name: 'a', counter: 1, isTombstone: false }), manifest: moved };
    expect(indexedVersion(signed, hash, keys, NOW_MS).meta).toBeNull();
  });

  it('remembers the first result of an operation for its window, and forgets it then', async () => {
    const index = newIndex();
    const opId = (name: string): Uint8Array => Uint8Array.from(sha256(utf8(name)));
    const at = (name: string, counter: number, mtimeMs: number): IndexUpdate =>
      taken({ name, counter, isTombstone: false, operation: name, mtimeMs });
    await index.apply([
      at('old', 1, NOW_MS - WINDOW_MS),
      at('recent', 2, NOW_MS - 1000),
      at('recent', 3, NOW_MS),
    ]);
    expect(await index.operation(opId('old'), NOW_MS)).toBeUndefined();
    expect(await index.operation(opId('recent'), NOW_MS)).toMatchObject({
      etag: 'etag 2',
      atMs: NOW_MS - 1000,
    });
    expect(await index.operation(opId('recent'), NOW_MS + WINDOW_MS)).toBeUndefined();
    expect(await index.operation(opId('none'), NOW_MS)).toBeUndefined();
  });

  it('begins with nothing after it was cleared, in the order of the updates', async () => {
    const index = newIndex();
    const a = taken({ name: 'a', counter: 1, isTombstone: false });
    const b = taken({ name: 'b', counter: 1, isTombstone: false });
    const tail: IndexUpdate = { t: 'tail', slot: 1, bytes: utf8('tail') };
    await Promise.all([index.apply([a, tail]), index.apply([{ t: 'clear' }, b])]);
    expect(await listed(index)).toEqual(['b 1 etag 1']);
    expect(await index.tail(1)).toBeUndefined();
  });

  it('gives windows of names', async () => {
    const index = newIndex();
    await index.apply(['a', 'b', 'c', 'd'].map((name) => taken({ name, counter: 1, isTombstone: false })));
    const names = async (
      from: string,
      below: string | undefined,
      limit: number,
    ): Promise<readonly string[]> =>
      (
        await index.objects(bucketId, 1, utf8(from), below === undefined ? undefined : utf8(below), limit)
      ).map(({ name }) => name);
    expect(await names('b', undefined, 2)).toEqual(['b', 'c']);
    expect(await names('bb', 'd', 10)).toEqual(['c']);
    expect(await names('d', 'a', 10)).toEqual([]);
    expect(await index.objects(bucketId, 2, utf8('a'), undefined, 10)).toEqual([]);
  });
});
