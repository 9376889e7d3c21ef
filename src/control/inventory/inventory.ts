/**
 * What the controller knows of the cluster's contents: every live certified version by its ids, and which
 * slots are confirmed to hold its cells. It is kept in an ordered store, so that many versions take disk and
 * not memory, and it may be lost: the nodes' logs say all of it again. Changes are made one after the other;
 * each is one batch of the store.
 */
import { concat, equal, mapKey } from '../../base/bytes.ts';
import type { Clock, KeyValueOperation, KeyValueStore } from '../../base/ports.ts';
import type { Certified } from '../../client/certificates.ts';
import { promisesContent } from '../../protocol/certificate.ts';
import type { Part } from '../../protocol/manifest.ts';
import { stageOf } from '../../protocol/manifest.ts';
import { compareStamps } from '../../protocol/stamp.ts';
import { encode } from '../../protocol/encoding.ts';
import {
  cellsOf,
  contentKey,
  encodeBits,
  encodeHoleState,
  encodeMissing,
  encodePart,
  encodeStage,
  encodeVersion,
  floorKey,
  FORMAT,
  FORMAT_KEY,
  hasContent,
  holeKey,
  keyKey,
  missingKey,
  openBits,
  openVersion,
  ownContent,
  partKey,
  PREFIX,
  preparedKey,
  removedKey,
  stageKey,
  tailKey,
  under,
  versionKey,
  watchKey,
  WHOLE_CONTENT,
} from './rows.ts';
import type { HolePlace, HoleState, MissingRow, VersionRow } from './rows.ts';
import { InventoryView } from './inventory-view.ts';
import type { Due } from './inventory-view.ts';
import { countBits, holdsBit, withBit, withoutBit } from './tallies.ts';

/** How long what only logs have named is remembered: an upload may take so long to be certified. */
const NAMED_MS = 24 * 3600 * 1000;

/** Certificates that logs have named and nobody gives; above, further ones are not asked for again. */
const MISSING_MAX = 10_000;
/** Versions and stages that only logs have named. */
const NAMED_MAX = 1_000_000;
const VERSION_KIND = 'v'.charCodeAt(0);

export interface InventoryOptions {
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly n: number;
  /** After so long a slot whose log does not say that it holds a version is asked. */
  readonly graceMs: number;
}

/** A version with cells that are lost, or not known to be there. */
export interface AtRisk {
  readonly hash: Uint8Array;
  /** Slots that are confirmed to hold all of it. */
  readonly confirmed: number;
}

export class Inventory extends InventoryView {
  readonly #store: KeyValueStore;
  readonly #clock: Clock;
  readonly #graceMs: number;
  #turn: Promise<unknown> = Promise.resolve();
  /** Rows `m`; rows `w` of what only logs have named. */
  #missing = 0;
  #named = 0;

  private constructor({ store, clock, n, graceMs }: InventoryOptions) {
    super(store, clock, n);
    this.#store = store;
    this.#clock = clock;
    this.#graceMs = graceMs;
  }

  /** Opens what is there, or begins anew where the format is another one. Errors: those of the store. */
  static async open(options: InventoryOptions): Promise<Inventory> {
    const { store } = options;
    const format = await store.get(FORMAT_KEY);
    if (format === undefined || !equal(format, FORMAT)) {
      await store.clear();
      await store.batch([{ type: 'put', key: FORMAT_KEY, value: FORMAT }], { sync: true });
    }
    const inventory = new Inventory(options);
    for await (const [key, value] of store.range(under(PREFIX.version))) {
      inventory.tallies.changed(key.subarray(1), undefined, openVersion(value));
    }
    for await (const row of store.range(under(PREFIX.missing))) inventory.#missing += row.length > 0 ? 1 : 0;
    for await (const [key] of store.range(under(PREFIX.watch))) inventory.#named += key[7] === VERSION_KIND ? 0 : 1;
    return inventory;
  }

  saveTail(slot: number, bytes: Uint8Array): Promise<void> {
    return this.#inTurn(() => this.#store.batch([{ type: 'put', key: tailKey(slot), value: bytes }]));
  }

  /** The slot's log says that it prepared these versions. */
  prepared(slot: number, hashes: readonly Uint8Array[]): Promise<void> {
    return this.#inTurn(async () => {
      const operations: KeyValueOperation[] = [];
      for (const hash of hashes) {
        const row = await this.version(hash);
        if (row !== undefined) {
          await this.#confirmByLog(hash, row, slot, operations);
          continue;
        }
        const key = preparedKey(hash);
        const bits = openBits(await this.#store.get(key));
        if (bits === 0 && !this.#mayName()) continue;
        if (bits === 0) operations.push({ type: 'put', key: watchKey(this.#nowMs() + NAMED_MS, 'p', hash), value: new Uint8Array(0) });
        operations.push({ type: 'put', key, value: encodeBits(withBit(bits, slot)) });
      }
      await this.#store.batch(operations);
    });
  }

  /** The slot's log says that it staged this content. */
  staged(slot: number, stageId: Uint8Array, contentId: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const key = stageKey(stageId);
      const known = await this.stage(stageId);
      if (known === undefined && !this.#mayName()) return;
      const slots = known !== undefined && equal(known.contentId, contentId) ? withBit(known.slots, slot) : withBit(0, slot);
      const operations: KeyValueOperation[] = [{ type: 'put', key, value: encodeStage({ contentId, slots }) }];
      if (known === undefined) operations.push({ type: 'put', key: watchKey(this.#nowMs() + NAMED_MS, 'g', stageId), value: new Uint8Array(0) });
      await this.#store.batch(operations);
    });
  }

  /** Room for one more row of what only logs have named? What is left out is asked for instead. */
  #mayName(): boolean {
    if (this.#named >= NAMED_MAX) return false;
    this.#named += 1;
    return true;
  }

  /** The slot's log says that it committed a version which the inventory knows. */
  committed(slot: number, hash: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      const operations: KeyValueOperation[] = [];
      if (row !== undefined && row.stageId !== null) await this.#confirmByLog(hash, row, slot, operations);
      if (operations.length > 0) await this.#store.batch(operations);
    });
  }

  /** A log has named a certificate that no node gives now. */
  missed(hash: Uint8Array, row: MissingRow): Promise<void> {
    return this.#inTurn(async () => {
      const key = missingKey(hash);
      if ((await this.#store.get(key)) !== undefined) return;
      // A log may name what never was, as often as its node likes.
      if (this.#missing >= MISSING_MAX) return;
      this.#missing += 1;
      await this.#store.batch([{ type: 'put', key, value: encodeMissing(row) }]);
    });
  }

  notMissing(hash: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const operations: KeyValueOperation[] = [];
      await this.#found(hash, operations);
      await this.#store.batch(operations);
    });
  }

  async #found(hash: Uint8Array, operations: KeyValueOperation[]): Promise<void> {
    const key = missingKey(hash);
    if ((await this.#store.get(key)) === undefined) return;
    this.#missing -= 1;
    operations.push({ type: 'del', key });
  }

  /** Takes a certified version in, and lets go of those that it ends. */
  take(certified: Certified): Promise<void> {
    return this.#inTurn(async () => {
      const { manifest, hash } = certified.signed;
      if ((await this.version(hash)) !== undefined) return;
      const operations: KeyValueOperation[] = [];
      await this.#found(hash, operations);
      await this.#endOthers(certified, operations);
      if (!(await this.hasEnded(manifest.keyId, manifest.stamp))) await this.#begin(certified, operations);
      await this.#store.batch(operations);
    });
  }

  /** The version is gone: its key has moved on, as a certificate shows. */
  end(hash: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      if (row === undefined) return;
      const operations: KeyValueOperation[] = [];
      await this.#end(hash, row, operations);
      await this.#store.batch(operations);
    });
  }

  /** What the part table of a version names. */
  takeTable(hash: Uint8Array, parts: readonly Part[]): Promise<void> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      if (row?.kind !== 'TABLE' || row.parts !== null) return;
      const operations: KeyValueOperation[] = [];
      let cells = 1;
      for (const [i, { contentId, k, cellBytes, size, n }] of parts.entries()) {
        operations.push({ type: 'put', key: partKey(hash, i + 1), value: encodePart({ contentId, k, cellBytes, size, n }) });
        operations.push({ type: 'put', key: contentKey(contentId, hash), value: encodeBits(i + 1) });
        cells += cellsOf({ contentId, layout: { k, n, cellBytes, size } });
      }
      this.#put(hash, row, { ...row, parts: parts.length, cells }, operations);
      await this.#store.batch(operations);
    });
  }

  /** The slot's log says that it has the content of a version now. Of a list it says so of each part: an audit will tell. */
  contentCame(hash: Uint8Array, contentId: Uint8Array, slot: number): Promise<void> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      if (row === undefined || row.kind === 'TABLE' || !equal(row.contentId, contentId)) return;
      const operations: KeyValueOperation[] = [];
      this.#confirm(hash, row, slot, operations);
      await this.#store.batch(operations);
    });
  }

  /** Notes cells of a version as lost, or as not known to be there. Null when the version is gone. */
  note(hash: Uint8Array, places: readonly HolePlace[], state: HoleState): Promise<AtRisk | null> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      if (row === undefined || !hasContent(row)) return null;
      const operations: KeyValueOperation[] = [];
      const holes = [...row.holes];
      let { confirmed } = row;
      for (const place of places) {
        const key = holeKey(hash, place);
        const known = await this.#store.get(key);
        if (known === undefined) holes[place.slot] = (holes[place.slot] ?? 0) + 1;
        // What is known to be lost is not unknown again, and what was given back is audited first.
        else if (state === 'UNKNOWN') continue;
        confirmed = withoutBit(confirmed, place.slot);
        operations.push({ type: 'put', key, value: encodeHoleState(state) });
      }
      this.#put(hash, row, { ...row, holes, confirmed }, operations);
      await this.#store.batch(operations);
      return { hash, confirmed: countBits(confirmed) };
    });
  }

  /** The slot says that it has lost a cell of a content: of every version that names it. */
  async noteContent(contentId: Uint8Array, stripe: number, slot: number, state: HoleState): Promise<readonly AtRisk[]> {
    const risks: AtRisk[] = [];
    for (const { hash, place } of await this.naming(contentId)) {
      const risk = await this.note(hash, [{ place, stripe, slot }], state);
      if (risk !== null) risks.push(risk);
    }
    return risks;
  }

  /** The slot says that it has a lost cell of a content again: to be audited. */
  async backAgain(contentId: Uint8Array, stripe: number, slot: number): Promise<readonly AtRisk[]> {
    const risks: AtRisk[] = [];
    for (const { hash, place } of await this.naming(contentId)) {
      const hole = { place, stripe, slot };
      const isKnown = (await this.#store.get(holeKey(hash, hole))) !== undefined;
      const risk = isKnown ? await this.note(hash, [hole], 'REPAIRED') : null;
      if (risk !== null) risks.push(risk);
    }
    return risks;
  }

  /** A cell is there, as an audit has shown. True when the slot now is confirmed to hold the whole version. */
  heal(hash: Uint8Array, place: HolePlace): Promise<boolean> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      const key = holeKey(hash, place);
      if (row === undefined || (await this.#store.get(key)) === undefined) return false;
      const operations: KeyValueOperation[] = [{ type: 'del', key }];
      const holes = row.holes.map((count, slot) => (slot === place.slot ? count - 1 : count));
      const isWhole = holes[place.slot] === 0;
      const confirmed = isWhole ? withBit(row.confirmed, place.slot) : row.confirmed;
      this.#put(hash, row, { ...row, holes, confirmed }, operations);
      await this.#store.batch(operations);
      return isWhole;
    });
  }

  /** A slot's whole content turns into its single cells, in this state. */
  split(hash: Uint8Array, { place, slot }: Pick<HolePlace, 'place' | 'slot'>, cells: number, state: HoleState): Promise<void> {
    return this.#recut(hash, slot, [{ place, stripe: WHOLE_CONTENT, slot }], Array.from({ length: cells }, (_, stripe) => ({ place, stripe, slot })), state);
  }

  /** A slot's single cells turn into the whole content, which is lost. */
  async join(hash: Uint8Array, { place, slot }: Pick<HolePlace, 'place' | 'slot'>): Promise<void> {
    const cells: HolePlace[] = [];
    for await (const hole of this.holes(hash)) if (hole.place === place && hole.slot === slot && hole.stripe !== WHOLE_CONTENT) cells.push(hole);
    await this.#recut(hash, slot, cells, [{ place, stripe: WHOLE_CONTENT, slot }], 'LOST');
  }

  /** Holes of one slot give way to others, in one batch: it never looks whole in between. */
  #recut(hash: Uint8Array, slot: number, from: readonly HolePlace[], to: readonly HolePlace[], state: HoleState): Promise<void> {
    return this.#inTurn(async () => {
      const row = await this.version(hash);
      if (row === undefined) return;
      const operations: KeyValueOperation[] = [];
      let count = row.holes[slot] ?? 0;
      for (const place of from) {
        if ((await this.#store.get(holeKey(hash, place))) === undefined) continue;
        operations.push({ type: 'del', key: holeKey(hash, place) });
        count -= 1;
      }
      for (const place of to) {
        if ((await this.#store.get(holeKey(hash, place))) === undefined) count += 1;
        operations.push({ type: 'put', key: holeKey(hash, place), value: encodeHoleState(state) });
      }
      this.#put(hash, row, { ...row, holes: row.holes.map((old, i) => (i === slot ? count : old)), confirmed: withoutBit(row.confirmed, slot) }, operations);
      await this.#store.batch(operations);
    });
  }

  /** Looks at what is due. `followedMs`: since when each slot's log is known to say all. Null: nothing is at risk. */
  judge({ key, kind, id }: Due, followedMs: readonly number[]): Promise<AtRisk | null> {
    return this.#inTurn(async () => {
      const operations: KeyValueOperation[] = [{ type: 'del', key }];
      if (kind === 'p') operations.push({ type: 'del', key: preparedKey(id) });
      if (kind === 'g') operations.push({ type: 'del', key: stageKey(id) });
      // Each such row is counted until it was to be looked at, though it may have gone before.
      if (kind !== 'v') this.#named -= 1;
      const row = kind === 'v' ? await this.version(id) : undefined;
      const risk = row === undefined ? null : await this.#judgeVersion(id, row, followedMs, operations);
      await this.#store.batch(operations);
      return risk;
    });
  }

  async #judgeVersion(hash: Uint8Array, row: VersionRow, followedMs: readonly number[], operations: KeyValueOperation[]): Promise<AtRisk | null> {
    const again = (): void => void operations.push({ type: 'put', key: watchKey(this.#nowMs() + this.#graceMs, 'v', hash), value: new Uint8Array(0) });
    if (row.kind === 'TABLE' && row.parts === null) {
      again();
      return null;
    }
    const holes = [...row.holes];
    for (let slot = 0; slot < this.n; slot += 1) {
      if (holdsBit(row.confirmed, slot) || (holes[slot] ?? 0) > 0) continue;
      // Its log may say it yet; a slot that cannot be followed is not waited for without end.
      const mayYet = (followedMs[slot] ?? 0) < row.seenMs + this.#graceMs / 2 && this.#nowMs() < row.seenMs + 5 * this.#graceMs;
      if (mayYet) {
        again();
        return null;
      }
    }
    for (let slot = 0; slot < this.n; slot += 1) {
      if (holdsBit(row.confirmed, slot) || (holes[slot] ?? 0) > 0) continue;
      for (let place = 0; place <= (row.parts ?? 0); place += 1) {
        operations.push({ type: 'put', key: holeKey(hash, { place, stripe: WHOLE_CONTENT, slot }), value: encodeHoleState('UNKNOWN') });
        holes[slot] = (holes[slot] ?? 0) + 1;
      }
    }
    if (row.stageId !== null) operations.push({ type: 'del', key: stageKey(row.stageId) });
    const after = { ...row, holes, stageId: null };
    this.#put(hash, row, after, operations);
    return holes.some((count) => count > 0) ? { hash, confirmed: countBits(row.confirmed) } : null;
  }

  async #begin(certified: Certified, operations: KeyValueOperation[]): Promise<void> {
    const { cert, signed } = certified;
    const { manifest, hash } = signed;
    const { keyId, stamp, kind, contentId, k, cellBytes, size } = manifest;
    const stageId = stageOf(manifest)?.id ?? null;
    const named = openBits(await this.#store.get(preparedKey(hash)));
    const stage = stageId === null ? undefined : await this.stage(stageId);
    let confirmed = 0;
    for (let slot = 0; slot < this.n; slot += 1) {
      const isStaged = stage !== undefined && equal(stage.contentId, contentId) && holdsBit(stage.slots, slot);
      const byLog = stageId === null ? holdsBit(named, slot) : isStaged;
      if (byLog || promisesContent(cert, slot)) confirmed = withBit(confirmed, slot);
    }
    const bare = { keyId, stamp, kind, contentId, k, cellBytes, size, stageId, seenMs: this.#nowMs(), holes: Array.from({ length: this.n }, () => 0) };
    const row: VersionRow = { ...bare, confirmed: hasContent(manifest) ? confirmed : 0, parts: kind === 'TABLE' ? null : 0, cells: 1 };
    const cells = hasContent(row) ? cellsOf(ownContent(row, this.n)) : 0;
    this.#put(hash, undefined, { ...row, cells }, operations);
    operations.push({ type: 'put', key: keyKey(keyId, stamp), value: hash }, { type: 'del', key: preparedKey(hash) });
    if (!hasContent(row)) return;
    operations.push({ type: 'put', key: contentKey(contentId, hash), value: encodeBits(0) });
    operations.push({ type: 'put', key: watchKey(this.#nowMs() + this.#graceMs, 'v', hash), value: new Uint8Array(0) });
  }

  /** Versions of the key that this one ends: all below it, or those that it names. */
  async #endOthers({ signed: { manifest, hash }, stamp }: Certified, operations: KeyValueOperation[]): Promise<void> {
    const removes = manifest.slot?.removes ?? 'ALL';
    const { keyId } = manifest;
    const others: Uint8Array[] = [];
    if (removes === 'ALL') {
      const floor = await this.floor(keyId);
      if (floor === null || compareStamps(stamp, floor) > 0) operations.push({ type: 'put', key: floorKey(keyId), value: encode(stamp) });
      const below = { gte: concat(PREFIX.key, keyId), lt: keyKey(keyId, stamp) };
      for await (const [, other] of this.#store.range(below)) others.push(other.slice());
    } else {
      for (const removed of removes) {
        operations.push({ type: 'put', key: removedKey(keyId, removed), value: new Uint8Array(0) });
        const other = await this.#store.get(keyKey(keyId, removed));
        if (other !== undefined) others.push(other);
      }
    }
    const ended = new Set<string>();
    for (const other of others) {
      const row = equal(other, hash) || ended.has(mapKey(other)) ? undefined : await this.version(other);
      ended.add(mapKey(other));
      if (row !== undefined) await this.#end(other, row, operations);
    }
  }

  async #end(hash: Uint8Array, row: VersionRow, operations: KeyValueOperation[]): Promise<void> {
    for await (const { content } of this.contents(hash, row)) operations.push({ type: 'del', key: contentKey(content.contentId, hash) });
    for (const prefix of [PREFIX.part, PREFIX.hole]) {
      for await (const [key] of this.#store.range(under(concat(prefix, hash)))) operations.push({ type: 'del', key: key.slice() });
    }
    operations.push({ type: 'del', key: keyKey(row.keyId, row.stamp) });
    this.#put(hash, row, undefined, operations);
  }

  async #confirmByLog(hash: Uint8Array, row: VersionRow, slot: number, operations: KeyValueOperation[]): Promise<void> {
    if (row.stageId !== null) {
      const stage = await this.stage(row.stageId);
      if (stage === undefined || !holdsBit(stage.slots, slot) || !equal(stage.contentId, row.contentId)) return;
    }
    this.#confirm(hash, row, slot, operations);
  }

  #confirm(hash: Uint8Array, row: VersionRow, slot: number, operations: KeyValueOperation[]): void {
    if (!hasContent(row) || holdsBit(row.confirmed, slot) || (row.holes[slot] ?? 0) > 0) return;
    this.#put(hash, row, { ...row, confirmed: withBit(row.confirmed, slot) }, operations);
  }

  #put(hash: Uint8Array, from: VersionRow | undefined, to: VersionRow | undefined, operations: KeyValueOperation[]): void {
    this.tallies.changed(hash, from, to);
    const key = versionKey(hash);
    operations.push(to === undefined ? { type: 'del', key } : { type: 'put', key, value: encodeVersion(to) });
  }

  #nowMs(): number {
    return Math.max(0, Math.floor(this.#clock.nowMs()));
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(task, task);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

