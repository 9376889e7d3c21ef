/**
 * The gateway's index: which names a bucket holds, in S3's byte order (architecture, life of a LIST). It is
 * a view: it takes in versions in any order, also twice, keeps the highest of each key, and may be deleted
 * at any time. It is never asked whether an object exists when that must be right; the storage nodes are.
 *
 * Updates go through one queue: all that wait are applied in one batch, so that two versions of a key never
 * race and many small writes share one write of the store.
 */
import { concat, EMPTY, equal, fromHex, hex } from '../../base/bytes.ts';
import type { KeyValueStore } from '../../base/ports.ts';
import { compareStamps, sameStamp, ZERO_STAMP } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { SignedManifest } from '../../protocol/manifest.ts';
import { PART_LIST_NUMBER } from '../../keyring/metadata.ts';
import type { VersionMeta } from '../../keyring/metadata.ts';
import { Batch } from './batch.ts';
import type { IndexedVersion } from './indexed-version.ts';
import { objectPlacement, placementsOf, versionPlacement } from './indexed-version.ts';
import {
  attributesKey,
  decodeRow,
  encodeRow,
  endedKey,
  endOf,
  expiryKey,
  FORMAT,
  FORMAT_KEY,
  multipartKey,
  multipartPrefix,
  namedKey,
  newestFirst,
  OBJECT_NAME_AT,
  objectKey,
  objectsPrefix,
  openEndedKey,
  openNamedKey,
  partNumberOf,
  PREFIX,
  rowKey,
  ROWS,
  sortable,
  stampKey,
  stampsPrefix,
  suspendedKey,
  UPLOAD_ID_AT,
  versionKeyOf,
} from './rows.ts';
import { NOTHING_UPLOADED, placeRow, tallyKey } from './upload-tally.ts';
import type { BucketRow, KeyRow, ObjectRow, OperationRow, PartRow, TallyRow, UploadRow, VersionRow } from './rows.ts';

export type IndexUpdate =
  /** A certified version. `slots`: whose logs show it; 'settled': at least c nodes hold it. */
  | { readonly t: 'version'; readonly version: IndexedVersion; readonly slots: readonly number[] | 'settled' }
  /** One more log shows a version that the index may know. */
  | {
      readonly t: 'seen';
      readonly keyId: Uint8Array;
      readonly manifestHash: Uint8Array;
      readonly slot: number;
    }
  /** The result of an operation whose version was replaced before it could be seen. */
  | { readonly t: 'operation'; readonly opId: Uint8Array; readonly row: OperationRow; readonly nowMs: number }
  /** A version has been removed before it was seen. */
  | { readonly t: 'gone'; readonly keyId: Uint8Array; readonly stamp: Stamp }
  | { readonly t: 'settled'; readonly keyId: Uint8Array; readonly manifestHash: Uint8Array }
  | { readonly t: 'tail'; readonly slot: number; readonly bytes: Uint8Array }
  /** Forgets everything that was taken in before. */
  | { readonly t: 'clear' };

export interface ListedObject extends ObjectRow {
  readonly name: string;
}

export interface ListedVersion extends VersionRow {
  readonly name: string;
}

export interface ListedUpload extends UploadRow {
  readonly name: string;
  readonly uploadId: Uint8Array;
}

export interface ListedPart extends PartRow {
  readonly number: number;
}

/** A multipart upload or part found by the sweep of leftovers. */
export interface MultipartEntry {
  readonly uploadId: Uint8Array;
  /** 0: the upload itself. */
  readonly number: number;
}

/** A version that has ended, whose attributes have a register yet. */
export type EndedAttributes = ReturnType<typeof openEndedKey>;

export interface IndexOptions {
  /** c: logs that must show a version before a LIST may. */
  readonly holdersNeeded: number;
  /** Results of operations older than this are forgotten (13.11). */
  readonly operationWindowMs: number;
}

/** Keeps a leading byte order mark: it is part of the name. */
const names = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

interface Waiting {
  readonly updates: readonly IndexUpdate[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Updates in one batch of the store. */
const BATCH_UPDATES_MAX = 2048;
/** Expired operations removed beside one batch: removal keeps up with what is added. */
const EXPIRED_PER_BATCH = 64;

export class ObjectIndex {
  readonly #store: KeyValueStore;
  readonly #options: IndexOptions;
  readonly #waiting: Waiting[] = [];
  #isApplying = false;

  constructor(store: KeyValueStore, options: IndexOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Call once before any use. Throws away what another version of the program wrote. */
  async requireFormat(): Promise<void> {
    const format = await this.#store.get(FORMAT_KEY);
    if (format === undefined || !equal(format, FORMAT)) await this.apply([{ t: 'clear' }]);
  }

  /** What is known of a key's highest version. */
  async key(keyId: Uint8Array): Promise<KeyRow | undefined> {
    const bytes = await this.#store.get(rowKey('key', keyId));
    return bytes === undefined ? undefined : decodeRow(ROWS.key, bytes);
  }

  /**
   * Takes updates in, in order. On return they are seen by every later read; not necessarily durable: a
   * view need not be.
   */
  apply(updates: readonly IndexUpdate[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ updates, resolve, reject });
      if (!this.#isApplying) void this.#applyAll();
    });
  }

  /** Objects with `from <= name < below` in byte order, at most `limit`. */
  async objects(
    bucketId: Uint8Array,
    gen: number,
    from: Uint8Array,
    below: Uint8Array | undefined,
    limit: number,
  ): Promise<readonly ListedObject[]> {
    const prefix = objectsPrefix(bucketId, gen);
    const lt = below === undefined ? endOf(prefix) : concat(prefix, below);
    const out: ListedObject[] = [];
    for await (const [key, value] of this.#store.range({ gte: concat(prefix, from), lt, limit })) {
      out.push({ name: names.decode(key.subarray(OBJECT_NAME_AT)), ...decodeRow(ROWS.object, value) });
    }
    return out;
  }

  /** The row of one object, as a hint about what the nodes hold. */
  async object(bucketId: Uint8Array, gen: number, name: Uint8Array): Promise<ObjectRow | undefined> {
    const bytes = await this.#store.get(objectKey(bucketId, gen, name));
    return bytes === undefined ? undefined : decodeRow(ROWS.object, bytes);
  }

  /**
   * Versions with `from <= name < below`, of each name the newest first. `after`: of the name `from` only what
   * is older than this stamp.
   */
  async versions(
    bucketId: Uint8Array,
    gen: number,
    from: Uint8Array,
    after: Pick<Stamp, 'counter' | 'writerId'> | undefined,
    below: Uint8Array | undefined,
    limit: number,
  ): Promise<readonly ListedVersion[]> {
    const above = after === undefined ? undefined : namedKey('version', bucketId, gen, from, newestFirst(after));
    const gte = above === undefined ? namedKey('version', bucketId, gen, from) : concat(above, new Uint8Array(1));
    const lt = below === undefined ? endOf(namedKey('version', bucketId, gen, EMPTY)) : namedKey('version', bucketId, gen, below);
    const out: ListedVersion[] = [];
    for await (const [key, value] of this.#store.range({ gte, lt, limit })) {
      out.push({ name: names.decode(openNamedKey(key).name), ...decodeRow(ROWS.version, value) });
    }
    return out;
  }

  /**
   * The null versions of one object, the newest first: those of suspended versioning, which have a row of their
   * own each, and the one from before there was any. That one ended all before it, so it is the oldest: however
   * many versions an object has, none of the others is looked at.
   */
  async nullVersions(bucketId: Uint8Array, gen: number, name: Uint8Array): Promise<readonly VersionRow[]> {
    const prefix = namedKey('version', bucketId, gen, name, EMPTY);
    const out: VersionRow[] = [];
    for await (const [key] of this.#store.range({ gte: suspendedKey(prefix), lt: endOf(suspendedKey(prefix)) })) {
      const bytes = await this.#store.get(versionKeyOf(key));
      if (bytes !== undefined) out.push(decodeRow(ROWS.version, bytes));
    }
    for await (const [, value] of this.#store.range({ gte: prefix, lt: endOf(prefix), reverse: true, limit: 1 })) {
      const oldest = decodeRow(ROWS.version, value);
      if (oldest.kept === 'NEVER') out.push(oldest);
    }
    return out;
  }

  /** Unfinished uploads by name, then id. `after`: of the name `from` only uploads whose id in hex is above. */
  async uploads(
    bucketId: Uint8Array,
    gen: number,
    from: Uint8Array,
    after: string | undefined,
    below: Uint8Array | undefined,
    limit: number,
  ): Promise<readonly ListedUpload[]> {
    const first = after === undefined ? undefined : firstIdAbove(after);
    // Behind all ids of the name comes the next name.
    const name = first === null ? concat(from, new Uint8Array(1)) : from;
    const gte = namedKey('upload', bucketId, gen, name, first ?? undefined);
    const lt = below === undefined ? endOf(namedKey('upload', bucketId, gen, EMPTY)) : namedKey('upload', bucketId, gen, below);
    const out: ListedUpload[] = [];
    for await (const [key, value] of this.#store.range({ gte, lt, limit })) {
      const { name: shown, rest: uploadId } = openNamedKey(key);
      out.push({ name: names.decode(shown), uploadId: uploadId.slice(), ...decodeRow(ROWS.upload, value) });
    }
    return out;
  }

  /** Unfinished uploads of a bucket, all together. */
  async uploaded(bucketId: Uint8Array, gen: number): Promise<TallyRow> {
    const bytes = await this.#store.get(tallyKey(bucketId, gen));
    return bytes === undefined ? NOTHING_UPLOADED : decodeRow(ROWS.tally, bytes);
  }

  /** Was this version taken in, or is it known to have ended? */
  async knows(known: KeyRow | undefined, keyId: Uint8Array, stamp: Stamp): Promise<boolean> {
    if (known === undefined || compareStamps(stamp, known.stamp) > 0) return false;
    if (sameStamp(stamp, known.stamp) || compareStamps(stamp, known.floor) < 0) return true;
    const place = await this.#store.get(stampKey(keyId, stamp));
    return place !== undefined && !equal(place, UNSEEN);
  }

  /** Stamps below this one of the versions of a key that are shown. */
  async shownBelow(keyId: Uint8Array, stamp: Stamp): Promise<readonly Stamp[]> {
    const out: Stamp[] = [];
    for await (const [, place] of this.#store.range({ gte: stampsPrefix(keyId), lt: stampKey(keyId, stamp) })) {
      if (!isPlace(place)) continue;
      const bytes = await this.#store.get(place);
      if (bytes !== undefined) out.push(decodeRow(ROWS.version, bytes).stamp);
    }
    return out;
  }

  /** Parts of one upload in ascending order of their numbers: those above `after`, at most `limit`. */
  async parts(
    bucketId: Uint8Array,
    gen: number,
    uploadId: Uint8Array,
    after: number = 0,
    limit: number = PART_LIST_NUMBER,
  ): Promise<readonly ListedPart[]> {
    const gte = multipartKey(bucketId, gen, uploadId, after + 1);
    const lt = endOf(concat(multipartPrefix(bucketId, gen), uploadId));
    const out: ListedPart[] = [];
    for await (const [key, value] of this.#store.range({ gte, lt, limit })) {
      out.push({ number: partNumberOf(key), ...decodeRow(ROWS.part, value) });
    }
    return out;
  }

  /**
   * Uploads and parts of a bucket, each upload before its parts; what of them is left over shows by a
   * missing number 0.
   */
  async *multipart(bucketId: Uint8Array, gen: number): AsyncIterable<MultipartEntry> {
    const prefix = multipartPrefix(bucketId, gen);
    for await (const [key] of this.#store.range({ gte: prefix, lt: endOf(prefix) })) {
      yield { uploadId: key.slice(UPLOAD_ID_AT, UPLOAD_ID_AT + 16), number: partNumberOf(key) };
    }
  }

  /** Versions that have ended and whose attributes have not, at most `limit`. */
  async endedAttributes(limit: number): Promise<readonly EndedAttributes[]> {
    const out: EndedAttributes[] = [];
    for await (const [key] of this.#store.range({ gte: PREFIX.ended, lt: endOf(PREFIX.ended), limit })) out.push(openEndedKey(key));
    return out;
  }

  /** Certificates of this bucket that were seen on fewer than c logs. */
  async *unsettled(bucketId: Uint8Array): AsyncIterable<Uint8Array> {
    const prefix = rowKey('unsettled', bucketId);
    for await (const [, value] of this.#store.range({ gte: prefix, lt: endOf(prefix) })) yield value;
  }

  async bucket(bucketId: Uint8Array): Promise<BucketRow | undefined> {
    const bytes = await this.#store.get(rowKey('bucket', bucketId));
    return bytes === undefined ? undefined : decodeRow(ROWS.bucket, bytes);
  }

  async *buckets(): AsyncIterable<readonly [bucketId: Uint8Array, row: BucketRow]> {
    for await (const [key, value] of this.#store.range({ gte: PREFIX.bucket, lt: endOf(PREFIX.bucket) })) {
      yield [key.slice(PREFIX.bucket.length), decodeRow(ROWS.bucket, value)];
    }
  }

  /** The result of an earlier request with this operation id, within the window before `nowMs`. */
  async operation(opId: Uint8Array, nowMs: number): Promise<OperationRow | undefined> {
    const bytes = await this.#store.get(rowKey('operation', opId));
    if (bytes === undefined) return undefined;
    const row = decodeRow(ROWS.operation, bytes);
    return row.atMs + this.#options.operationWindowMs > nowMs ? row : undefined;
  }

  /** How far the slot's log was followed, as it was given to `apply`. */
  async tail(slot: number): Promise<Uint8Array | undefined> {
    return this.#store.get(rowKey('tail', sortable(slot)));
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async #applyAll(): Promise<void> {
    this.#isApplying = true;
    while (this.#waiting.length > 0) {
      const taken: Waiting[] = [];
      let count = 0;
      while (this.#waiting.length > 0 && count < BATCH_UPDATES_MAX) {
        const next = this.#waiting.shift();
        if (next === undefined) break;
        taken.push(next);
        count += next.updates.length;
      }
      try {
        await this.#applyBatch(taken.flatMap(({ updates }) => updates));
        for (const { resolve } of taken) resolve();
      } catch (error) {
        for (const { reject } of taken) reject(error);
      }
    }
    this.#isApplying = false;
  }

  async #applyBatch(updates: readonly IndexUpdate[]): Promise<void> {
    let batch = new Batch(this.#store);
    for (const update of updates) {
      switch (update.t) {
        case 'clear':
          await this.#store.clear();
          batch = new Batch(this.#store);
          batch.put(FORMAT_KEY, FORMAT);
          break;
        case 'version':
          await this.#takeVersion(batch, update.version, update.slots);
          break;
        case 'seen':
          await this.#takeSeen(batch, update.keyId, update.manifestHash, 1 << update.slot);
          break;
        case 'gone':
          await this.#end(batch, update.keyId, update.stamp);
          batch.put(stampKey(update.keyId, update.stamp), EMPTY);
          break;
        case 'operation':
          await this.#takeOperation(batch, update.row, update.opId, update.nowMs);
          break;
        case 'settled':
          await this.#takeSettled(batch, update.keyId, update.manifestHash);
          break;
        case 'tail':
          batch.put(rowKey('tail', sortable(update.slot)), update.bytes);
          break;
      }
    }
    await batch.write();
  }

  async #takeVersion(
    batch: Batch,
    version: IndexedVersion,
    slots: readonly number[] | 'settled',
  ): Promise<void> {
    const { manifest, hash } = version.signed;
    const key = rowKey('key', manifest.keyId);
    const known = await batch.row(key, ROWS.key);
    if (version.operation !== null)
      await this.#takeOperation(batch, version.operation, manifest.opId, version.nowMs);
    const order = known === undefined ? 1 : compareStamps(manifest.stamp, known.stamp);
    if (known !== undefined && order < 0) return this.#takeOlder(batch, version, known);
    if (known !== undefined && order === 0) {
      if (!equal(known.manifestHash, hash)) return;
      if (slots === 'settled') return this.#takeSettled(batch, manifest.keyId, hash);
      return this.#takeSeen(batch, manifest.keyId, hash, maskOf(slots));
    }
    for (const shown of known?.places ?? []) await placeRow(batch, shown, null);
    if (known?.settled === false) batch.del(unsettledKey(known.bucketId, manifest.keyId));
    const floor = endsAll(version.signed) ? manifest.stamp : (known?.floor ?? ZERO_STAMP);
    await this.#takeChain(batch, version, floor);
    const latest = latestAfter(version);
    const holders = slots === 'settled' ? 0 : maskOf(slots);
    const settled = slots === 'settled' || bits(holders) >= this.#options.holdersNeeded;
    if (!settled) batch.put(unsettledKey(manifest.bucketId, manifest.keyId), version.certBytes);
    const { bucketId, stamp, kind } = manifest;
    if (version.meta !== null) await this.#takeAttributes(batch, version.meta, bucketId);
    const places = kind === 'REMOVE' ? await this.#showAgain(batch, version, latest) : await show(batch, version);
    batch.put(key, encodeRow({ bucketId, stamp, manifestHash: hash, kind, holders, settled, latest, floor, places }));
  }

  /** A version below the newest: it may be one of those that are kept. */
  async #takeOlder(batch: Batch, version: IndexedVersion, known: KeyRow): Promise<void> {
    const { manifest } = version.signed;
    const { keyId, stamp } = manifest;
    if (compareStamps(stamp, known.floor) < 0) return;
    const place = await batch.get(stampKey(keyId, stamp));
    const isEnded = place !== undefined;
    if (isEnded && !equal(place, UNSEEN)) return;
    const floor = endsAll(version.signed) ? stamp : known.floor;
    await this.#takeChain(batch, version, floor, isEnded);
    const isLatest = !isEnded && known.latest !== null && sameStamp(stamp, known.latest);
    const places = isLatest ? await show(batch, version) : known.places;
    batch.put(rowKey('key', keyId), encodeRow({ ...known, floor, places }));
  }

  /** Its row among the versions of the key, and what ends with it. */
  async #takeChain(batch: Batch, version: IndexedVersion, floor: Stamp, isEnded: boolean = false): Promise<void> {
    const { keyId, stamp, slot } = version.signed.manifest;
    if (endsAll(version.signed)) await this.#endBelow(batch, keyId, floor);
    if (slot === null) return;
    if (slot.removes !== 'ALL') for (const removed of slot.removes) await this.#end(batch, keyId, removed);
    if (isEnded) {
      batch.put(stampKey(keyId, stamp), EMPTY);
      return;
    }
    const placed = versionPlacement(version);
    if (placed !== null) batch.put(placed.key, encodeRow(placed.row));
    if (placed?.row.kept === 'SUSPENDED') batch.put(suspendedKey(placed.key), EMPTY);
    batch.put(stampKey(keyId, stamp), placed?.key ?? EMPTY);
  }

  /** Attributes may come after the end of their version; and they end themselves. */
  async #takeAttributes(batch: Batch, meta: VersionMeta, bucketId: Uint8Array): Promise<void> {
    const of = 'of' in meta ? meta.of : meta;
    if (of.t !== 'attributes') return;
    const at = stampKey(of.keyId, of.stamp);
    if ('of' in meta) {
      batch.del(endedKey(bucketId, at));
      return;
    }
    const known = await batch.row(rowKey('key', of.keyId), ROWS.key);
    const place = await batch.get(at);
    const isBelow = known !== undefined && compareStamps(of.stamp, known.floor) < 0;
    if (isBelow || (place !== undefined && !isPlace(place))) batch.put(endedKey(bucketId, at), EMPTY);
  }

  /** The version has ended, whether it was seen or not. */
  async #end(batch: Batch, keyId: Uint8Array, stamp: Stamp): Promise<void> {
    const at = stampKey(keyId, stamp);
    const place = await batch.get(at);
    if (place !== undefined && isPlace(place)) unshow(batch, place);
    await noteEnded(batch, at);
    if (place === undefined || isPlace(place)) batch.put(at, place === undefined ? UNSEEN : EMPTY);
  }

  async #endBelow(batch: Batch, keyId: Uint8Array, floor: Stamp): Promise<void> {
    const limit = hex(stampKey(keyId, floor));
    for (const at of await batch.keys(stampsPrefix(keyId))) {
      if (hex(at) >= limit) continue;
      const place = await batch.get(at);
      if (place !== undefined && isPlace(place)) unshow(batch, place);
      await noteEnded(batch, at);
      batch.del(at);
    }
  }

  /** The version that a REMOVE left as the newest is listed again, if it is here yet. */
  async #showAgain(batch: Batch, { signed }: IndexedVersion, latest: Stamp | null): Promise<readonly Uint8Array[]> {
    const { bucketId, keyId, stamp } = signed.manifest;
    const place = latest === null ? undefined : await batch.get(stampKey(keyId, latest));
    const row = place === undefined || !isPlace(place) ? undefined : await batch.row(place, ROWS.version);
    if (place === undefined || row === undefined || row.isMarker) return [];
    const shown = objectPlacement(bucketId, stamp.gen, openNamedKey(place).name, row);
    batch.put(shown.key, shown.value);
    return [shown.key];
  }

  async #takeSeen(batch: Batch, keyId: Uint8Array, manifestHash: Uint8Array, mask: number): Promise<void> {
    const key = rowKey('key', keyId);
    const known = await batch.row(key, ROWS.key);
    if (known === undefined || known.settled || !equal(known.manifestHash, manifestHash)) return;
    const holders = known.holders | mask;
    if (bits(holders) >= this.#options.holdersNeeded) return this.#takeSettled(batch, keyId, manifestHash);
    if (holders !== known.holders) batch.put(key, encodeRow({ ...known, holders }));
  }

  async #takeSettled(batch: Batch, keyId: Uint8Array, manifestHash: Uint8Array): Promise<void> {
    const key = rowKey('key', keyId);
    const known = await batch.row(key, ROWS.key);
    if (known === undefined || known.settled || !equal(known.manifestHash, manifestHash)) return;
    batch.put(key, encodeRow({ ...known, settled: true }));
    batch.del(unsettledKey(known.bucketId, keyId));
  }

  async #takeOperation(batch: Batch, row: OperationRow, opId: Uint8Array, nowMs: number): Promise<void> {
    const { operationWindowMs } = this.#options;
    if (row.atMs + operationWindowMs <= nowMs) return;
    const key = rowKey('operation', opId);
    // The first result stays: a repetition that was not recognised is another operation.
    if ((await batch.get(key)) !== undefined) return;
    batch.put(key, encodeRow(row));
    batch.put(expiryKey(row.atMs, opId), new Uint8Array(0));
    const lt = concat(PREFIX.expiry, sortable(Math.max(0, nowMs - operationWindowMs)));
    for await (const [expired] of this.#store.range({ gte: PREFIX.expiry, lt, limit: EXPIRED_PER_BATCH })) {
      batch.del(expired);
      batch.del(rowKey('operation', expired.subarray(expired.length - 32)));
    }
  }
}

function unsettledKey(bucketId: Uint8Array, keyId: Uint8Array): Uint8Array {
  return concat(PREFIX.unsettled, bucketId, keyId);
}

function maskOf(slots: readonly number[]): number {
  return slots.reduce((mask, slot) => mask | (1 << slot), 0);
}

function bits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

/** Of a version that ended before it was seen: what ended with it is not known yet. */
const UNSEEN = new Uint8Array(1);
const isPlace = (place: Uint8Array): boolean => place.length > 1;

/** What is left of the attributes of a version that has ended is to be ended too. */
async function noteEnded(batch: Batch, stampAt: Uint8Array): Promise<void> {
  const bucketId = await batch.get(attributesKey(stampAt));
  if (bucketId !== undefined) batch.put(endedKey(bucketId, stampAt), EMPTY);
}

/** Takes away the row of a version that has ended. */
function unshow(batch: Batch, place: Uint8Array): void {
  batch.del(place);
  batch.del(suspendedKey(place));
}

const DIGITS = '0123456789abcdef';
const ID_DIGITS = 32;

/** The lowest upload id that as text stands above `text`, which a client made up; null: there is none. */
function firstIdAbove(text: string): Uint8Array | null {
  let same = 0;
  while (same < ID_DIGITS && same < text.length && DIGITS.includes(text.charAt(same))) same += 1;
  if (same === text.length && same < ID_DIGITS) return fromHex(text.padEnd(ID_DIGITS, '0'));
  const next = same === ID_DIGITS ? '' : ([...DIGITS].find((digit) => digit > text.charAt(same)) ?? '');
  if (next !== '') return fromHex((text.slice(0, same) + next).padEnd(ID_DIGITS, '0'));
  // Above every id that begins with these digits.
  const above = text.slice(0, same).replace(/f*$/, '');
  if (above === '') return null;
  const last = DIGITS[DIGITS.indexOf(above.slice(-1)) + 1] ?? '';
  return fromHex((above.slice(0, -1) + last).padEnd(ID_DIGITS, '0'));
}

/** The rows of a key's newest version; their keys. */
async function show(batch: Batch, version: IndexedVersion): Promise<readonly Uint8Array[]> {
  const shown = placementsOf(version);
  for (const { key, value } of shown) await placeRow(batch, key, value);
  return shown.map(({ key }) => key);
}

/** Does every version before it end with it? PLAIN versions replace each other. */
function endsAll({ manifest }: SignedManifest): boolean {
  return manifest.slot === null || manifest.slot.removes === 'ALL';
}

function latestAfter({ signed, meta }: IndexedVersion): Stamp | null {
  if (signed.manifest.kind !== 'REMOVE') return signed.manifest.stamp;
  return meta?.t === 'remove' ? (meta.latest?.stamp ?? null) : null;
}
