/**
 * Reading the controller's inventory: versions, their contents and holes, and what is due to be looked at. How it
 * changes is in inventory.ts.
 */
import { concat } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Clock, KeyValueStore } from '../../base/ports.ts';
import { decodeOwn } from '../../protocol/encoding.ts';
import { compareStamps, stampSchema } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { cellsOf, floorKey, hasContent, holeAt, missingKey, openBits, openHoleState, openMissing, openPart, openStage, openVersion, ownContent, partKey, PREFIX, removedKey, stageKey, u48be, under, versionKey } from './rows.ts';
import type { Hole, KeptContent, MissingRow, StageRow, VersionRow } from './rows.ts';
import { groupRange, holdsBit, Tallies } from './tallies.ts';

/** One cell of one version. */
export interface CellRef {
  readonly hash: Uint8Array;
  readonly row: VersionRow;
  readonly place: number;
  readonly stripe: number;
  readonly content: KeptContent;
}

/** What is due to be looked at. */
export interface Due {
  readonly key: Uint8Array;
  readonly kind: string;
  readonly id: Uint8Array;
}

export class InventoryView {
  readonly n: number;
  readonly tallies: Tallies;
  readonly #store: KeyValueStore;
  readonly #clock: Clock;

  protected constructor(store: KeyValueStore, clock: Clock, n: number) {
    this.n = n;
    this.tallies = new Tallies(n);
    this.#store = store;
    this.#clock = clock;
  }

  /** How far each log was followed. */
  async tails(): Promise<ReadonlyMap<number, Uint8Array>> {
    const tails = new Map<number, Uint8Array>();
    for await (const [key, value] of this.#store.range(under(PREFIX.tail))) tails.set(key[1] ?? 0, value.slice());
    return tails;
  }

  async version(hash: Uint8Array): Promise<VersionRow | undefined> {
    const bytes = await this.#store.get(versionKey(hash));
    return bytes === undefined ? undefined : openVersion(bytes);
  }

  /** Has the version ended, by what is known of its key? */
  async hasEnded(keyId: Uint8Array, stamp: Stamp): Promise<boolean> {
    const floor = await this.floor(keyId);
    if (floor !== null && compareStamps(stamp, floor) < 0) return true;
    return (await this.#store.get(removedKey(keyId, stamp))) !== undefined;
  }

  /** The content at a place of the version; null: it has none there, or its table was not read yet. */
  async content(hash: Uint8Array, row: VersionRow, place: number): Promise<KeptContent | null> {
    if (place === 0) return ownContent(row, this.n);
    const bytes = await this.#store.get(partKey(hash, place));
    if (bytes === undefined) return null;
    const { contentId, ...layout } = openPart(bytes);
    return { contentId, layout };
  }

  /** In order of places, stripes and slots, the whole contents first. */
  async *holes(hash: Uint8Array): AsyncGenerator<Hole, void> {
    for await (const [key, value] of this.#store.range(under(concat(PREFIX.hole, hash)))) {
      yield { ...holeAt(key), state: openHoleState(value) };
    }
  }

  /** Live versions in the order of their hashes, from one on; at most `limit`. */
  async *versions(from: Uint8Array, limit: number): AsyncGenerator<{ readonly hash: Uint8Array; readonly row: VersionRow }, void> {
    const { lt } = under(PREFIX.version);
    for await (const [key, value] of this.#store.range({ gte: versionKey(from), lt, limit })) {
      yield { hash: key.slice(1), row: openVersion(value) };
    }
  }

  /**
   * The cell at a position of all that the slot is confirmed to hold, from 0 up to but not including
   * `tallies.cells(slot)`; null when the inventory has changed meanwhile.
   */
  async cellAt(slot: number, position: number): Promise<CellRef | null> {
    const found = this.tallies.find(slot, position);
    if (found === null) return null;
    let { offset } = found;
    const { from, to } = groupRange(found.group);
    const lt = to === null ? under(PREFIX.version).lt : versionKey(to);
    for await (const [key, value] of this.#store.range({ gte: versionKey(from), lt })) {
      const row = openVersion(value);
      if (!hasContent(row) || !holdsBit(row.confirmed, slot)) continue;
      if (offset < row.cells) return this.#cellOf(key.slice(1), row, offset);
      offset -= row.cells;
    }
    return null;
  }

  /** The contents of a version, its own first. */
  async *contents(hash: Uint8Array, row: VersionRow): AsyncGenerator<{ readonly place: number; readonly content: KeptContent }, void> {
    yield { place: 0, content: ownContent(row, this.n) };
    for (let place = 1; place <= (row.parts ?? 0); place += 1) {
      const content = await this.content(hash, row, place);
      if (content !== null) yield { place, content };
    }
  }

  async #cellOf(hash: Uint8Array, row: VersionRow, offset: number): Promise<CellRef | null> {
    let left = offset;
    for await (const { place, content } of this.contents(hash, row)) {
      const cells = cellsOf(content);
      if (left < cells) return { hash, row, place, stripe: left, content };
      left -= cells;
    }
    return null;
  }

  /** Behind this hash; from the first one on when there are none. */
  async missing(behind: Uint8Array, limit: number): Promise<readonly { readonly hash: Uint8Array; readonly row: MissingRow }[]> {
    const found = [];
    const range = { gte: concat(missingKey(behind), Uint8Array.of(0)), lt: under(PREFIX.missing).lt, limit };
    for await (const [key, value] of this.#store.range(range)) {
      found.push({ hash: key.slice(1), row: openMissing(value) });
    }
    return found;
  }

  /** Versions that name the content, and where. */
  async naming(contentId: Uint8Array): Promise<readonly { readonly hash: Uint8Array; readonly place: number }[]> {
    const named: { readonly hash: Uint8Array; readonly place: number }[] = [];
    for await (const [key, value] of this.#store.range(under(concat(PREFIX.content, contentId)))) {
      named.push({ hash: key.slice(33), place: openBits(value) });
    }
    return named;
  }

  /** What was to be looked at before now. */
  async due(limit: number): Promise<readonly Due[]> {
    const found: Due[] = [];
    const range = { gte: PREFIX.watch, lt: concat(PREFIX.watch, u48be(Math.max(0, Math.floor(this.#clock.nowMs())) + 1)), limit };
    for await (const [key] of this.#store.range(range)) {
      found.push({ key: key.slice(), kind: String.fromCharCode(key[7] ?? 0), id: key.slice(8) });
    }
    return found;
  }

  async stage(stageId: Uint8Array): Promise<StageRow | undefined> {
    const bytes = await this.#store.get(stageKey(stageId));
    return bytes === undefined ? undefined : openStage(bytes);
  }

  async floor(keyId: Uint8Array): Promise<Stamp | null> {
    const bytes = await this.#store.get(floorKey(keyId));
    if (bytes === undefined) return null;
    const decoded = decodeOwn<Stamp>(stampSchema, bytes);
    if (decoded.ok) return decoded.value;
    throw new OperationError('CORRUPT', `The inventory holds a damaged row: ${decoded.reason}.`);
  }
}
