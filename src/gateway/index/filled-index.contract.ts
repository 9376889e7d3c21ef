/**
 * An index as a bucket of any size leaves it, written row by row without the versions behind it: what listing costs
 * is measured and tested on it. However large, it has the same shape: names fall into as many groups, which hold
 * more or fewer objects; beside them lie delete markers, one object of many versions, and unfinished uploads.
 */
import { compare, EMPTY, utf8 } from '../../base/bytes.ts';
import type { KeyValueOperation, KeyValueStore } from '../../base/ports.ts';
import { sha256 } from '../../crypto/primitives.ts';
import type { Kept } from '../../keyring/metadata.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { encodeRow, multipartKey, namedKey, newestFirst, objectKey } from './rows.ts';

export const FILLED_BUCKET: Uint8Array = Uint8Array.from(sha256(utf8('filled bucket')));
export const FILLED_GEN = 1;
/** At the delimiter `/` the names are so many groups, and as many plain names between them. */
export const FILLED_GROUPS = 40;
/** The object that has many versions, and the key that has many uploads. */
export const MANY_VERSIONS = 'many versions';
export const MANY_UPLOADS = 'many uploads';
/** An upload of many parts. */
export const MANY_PARTS: Uint8Array = new Uint8Array(16).fill(7);
/** Before it: only delete markers. */
export const BEHIND_MARKERS = 'removed~';

const WRITER = new Uint8Array(16).fill(1);
const ROW = { keyId: FILLED_BUCKET, size: 1, etag: 'e'.repeat(32), mtimeMs: 1, checksum: null, owner: null };
const OBJECT = encodeRow(ROW);

/** `rows`: objects, and of each other kind as many. */
export async function fillIndex(store: KeyValueStore, rows: number, batchRows: number = Infinity): Promise<void> {
  let batch: KeyValueOperation[] = [];
  const write = async (): Promise<void> => {
    // In order: what every store takes in fastest.
    await store.batch(batch.sort((a, b) => compare(a.key, b.key)));
    batch = [];
  };
  for (const kind of KINDS) {
    for (const [key, value] of FILLERS[kind](rows)) {
      batch.push({ type: 'put', key, value });
      if (batch.length >= batchRows) await write();
    }
  }
  await write();
}

type FilledKind = 'objects' | 'markers' | 'versions' | 'uploads' | 'parts';
type Filler = (rows: number) => Generator<readonly [Uint8Array, Uint8Array]>;

const KINDS: readonly FilledKind[] = ['objects', 'markers', 'versions', 'uploads', 'parts'];

function number(value: number): string {
  return String(value).padStart(9, '0');
}

function* object(name: string, counter: number): Generator<readonly [Uint8Array, Uint8Array]> {
  yield [objectKey(FILLED_BUCKET, FILLED_GEN, utf8(name)), OBJECT];
  yield version(name, counter, 'ENABLED', false);
}

function version(name: string, counter: number, kept: Kept, isMarker: boolean): readonly [Uint8Array, Uint8Array] {
  const stamp: Stamp = { gen: FILLED_GEN, counter, writerId: WRITER };
  const key = namedKey('version', FILLED_BUCKET, FILLED_GEN, utf8(name), newestFirst(stamp));
  return [key, encodeRow({ ...ROW, stamp, manifestHash: FILLED_BUCKET, kept, isMarker })];
}

function uploadId(value: number): Uint8Array {
  return Uint8Array.from(sha256(utf8(`upload ${value}`))).subarray(0, 16);
}

const FILLERS: Readonly<Record<FilledKind, Filler>> = {
  *objects(rows) {
    for (let group = 0; group < FILLED_GROUPS; group += 1) {
      yield* object(`group ${number(group)}`, 1);
      const members = Math.max(1, Math.floor(rows / FILLED_GROUPS));
      for (let at = 0; at < members; at += 1) yield* object(`group ${number(group)}/${number(at)}`, 1);
    }
  },
  *markers(rows) {
    for (let at = 0; at < rows; at += 1) {
      yield version(`removed ${number(at)}`, 1, 'NEVER', false);
      yield version(`removed ${number(at)}`, 2, 'ENABLED', true);
    }
    yield* object(BEHIND_MARKERS, 1);
  },
  *versions(rows) {
    yield version(MANY_VERSIONS, 1, 'NEVER', false);
    for (let at = 2; at <= rows; at += 1) yield version(MANY_VERSIONS, at, 'ENABLED', at % 2 === 0);
  },
  *uploads(rows) {
    const value = encodeRow({ mtimeMs: 1, owner: null, checksum: null });
    for (let at = 0; at < rows; at += 1) {
      yield [namedKey('upload', FILLED_BUCKET, FILLED_GEN, utf8(`group ${number(at % FILLED_GROUPS)}/upload`), uploadId(at)), value];
      yield [namedKey('upload', FILLED_BUCKET, FILLED_GEN, utf8(MANY_UPLOADS), uploadId(at)), value];
    }
  },
  *parts(rows) {
    const content = { contentId: FILLED_BUCKET, n: 4, k: 2, cellBytes: 64, salt: new Uint8Array(16) };
    const { owner: _, ...row } = ROW;
    yield [multipartKey(FILLED_BUCKET, FILLED_GEN, MANY_PARTS, 0), EMPTY];
    for (let at = 1; at <= Math.min(rows, 10_000); at += 1)
      yield [multipartKey(FILLED_BUCKET, FILLED_GEN, MANY_PARTS, at), encodeRow({ ...row, ...content })];
  },
};
