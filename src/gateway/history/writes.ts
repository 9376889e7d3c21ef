/**
 * What one writer key did since a moment, and what would undo it (docs/key-compromise.md). The time of a
 * version is the word of the gateway that wrote it, so a thief may date back: a version that stands in f+1 logs
 * behind what other writers dated after the moment was certified after it, whatever it says itself.
 */
import { equal } from '../../base/bytes.ts';
import { oneCorrect } from '../../protocol/quorum.ts';
import type { Quorums } from '../../protocol/quorum.ts';
import { enderOf, isKnown, isSame, liveOf } from './history.ts';
import type { History, KeyHistory, KnownEntry } from './history.ts';
import type { Entry } from './rows.ts';

export interface Suspect {
  readonly gatewayId: Uint8Array;
  /** Unix milliseconds. */
  readonly sinceMs: number;
}

export interface Write {
  readonly entry: KnownEntry;
  /** It says it is older than the moment, and is not. */
  readonly isBackdated: boolean;
  /** Versions that it ended. */
  readonly ended: readonly KnownEntry[];
}

/** Tells what the suspect wrote since the moment. */
export class SuspectWrites {
  readonly #suspect: Suspect;
  readonly #needed: number;
  /** Of each log the first entry that another writer dated at or after the moment. */
  readonly #cuts: ReadonlyMap<number, number>;

  private constructor(suspect: Suspect, needed: number, cuts: ReadonlyMap<number, number>) {
    this.#suspect = suspect;
    this.#needed = needed;
    this.#cuts = cuts;
  }

  static async find(history: History, suspect: Suspect, quorums: Quorums): Promise<SuspectWrites> {
    const cuts = new Map<number, number>();
    for (let slot = 0; slot < quorums.n; slot += 1) {
      for await (const { index, entry } of history.log(slot)) {
        if (entry.fact === null || equal(entry.fact.gatewayId, suspect.gatewayId) || entry.fact.mtimeMs < suspect.sinceMs) continue;
        cuts.set(slot, index);
        break;
      }
    }
    return new SuspectWrites(suspect, oneCorrect(quorums), cuts);
  }

  /** Did the suspect write it since the moment? What bears no time counts: better too much than too little. */
  isOne(entry: Entry): entry is KnownEntry {
    if (entry.fact === null || !equal(entry.fact.gatewayId, this.#suspect.gatewayId)) return false;
    return entry.fact.mtimeMs === 0 || entry.fact.mtimeMs >= this.#suspect.sinceMs || this.isBackdated(entry);
  }

  isBackdated({ fact, places }: Entry): boolean {
    if (fact === null || fact.mtimeMs === 0 || fact.mtimeMs >= this.#suspect.sinceMs) return false;
    const behind = places.filter(({ slot, index }) => index > (this.#cuts.get(slot) ?? Number.POSITIVE_INFINITY));
    return behind.length >= this.#needed;
  }
}

/** All that the suspect wrote since the moment, by bucket and key; `bucketId`: of that bucket alone. */
export async function* writesOf(history: History, writes: SuspectWrites, bucketId?: Uint8Array): AsyncIterable<Write> {
  for await (const entry of history.all()) {
    if (!writes.isOne(entry)) continue;
    if (bucketId !== undefined && !equal(entry.bucketId, bucketId) && !equal(entry.keyId, bucketId)) continue;
    const known = (await history.ofKey(entry.bucketId, entry.keyId)).filter(isKnown);
    yield { entry, isBackdated: writes.isBackdated(entry), ended: endedBy(entry, known).filter(({ fact }) => fact.t !== 'remove') };
  }
}

/** What was live until this one ended it. */
function endedBy(entry: KnownEntry, known: readonly KnownEntry[]): readonly KnownEntry[] {
  return known.filter((other) => {
    const ender = enderOf(other, known);
    return ender !== undefined && isSame(ender, entry);
  });
}

export type Remedy =
  /** The newest version is what it would be without the suspect. */
  | { readonly kind: 'nothing' }
  /** This version is there yet: it is copied above the suspect's. */
  | { readonly kind: 'copy'; readonly version: KnownEntry }
  /** There was none before: a delete marker above the suspect's. */
  | { readonly kind: 'mark' }
  /** It cannot be brought back, and why. */
  | { readonly kind: 'lost'; readonly reason: string };

export interface RestoreStep {
  readonly key: string;
  readonly remedy: Remedy;
  /** Versions that were live without the suspect's writes, and are gone for good. */
  readonly gone: readonly KnownEntry[];
}

/**
 * For each object that the suspect touched, what brings back the newest version from before. Nothing is ever
 * destroyed: `keepsVersions` says whether the bucket keeps what a new version is written above.
 */
export async function* restoreSteps(
  history: History,
  writes: SuspectWrites,
  { bucketId, gen }: { readonly bucketId: Uint8Array; readonly gen: number },
  keepsVersions: boolean,
): AsyncIterable<RestoreStep> {
  for await (const object of history.objects(bucketId, gen)) {
    const step = stepOf(object, writes, keepsVersions);
    if (step !== null) yield step;
  }
}

function stepOf({ name, entries }: KeyHistory, writes: SuspectWrites, keepsVersions: boolean): RestoreStep | null {
  if (!entries.some((entry) => writes.isOne(entry))) return null;
  const now = liveOf(entries);
  const without = liveOf(entries.filter((entry) => !writes.isOne(entry)));
  const gone = without.filter((entry) => !now.some((other) => isSame(other, entry)));
  return { key: name, remedy: remedyOf(now, without, keepsVersions), gone };
}

function remedyOf(now: readonly KnownEntry[], without: readonly KnownEntry[], keepsVersions: boolean): Remedy {
  const [newest] = now;
  const [wanted] = without;
  if (newest !== undefined && wanted !== undefined && isSame(newest, wanted)) return { kind: 'nothing' };
  const isAbsentNow = newest === undefined || newest.fact.t === 'marker';
  if (wanted === undefined || wanted.fact.t === 'marker') {
    if (isAbsentNow) return { kind: 'nothing' };
    return keepsVersions ? { kind: 'mark' } : { kind: 'lost', reason: 'it did not exist before, and the bucket keeps no versions: removing it would destroy what is there' };
  }
  if (!now.some((other) => isSame(other, wanted))) {
    return { kind: 'lost', reason: 'the version before is gone: the bucket did not keep it, or it was removed' };
  }
  return keepsVersions ? { kind: 'copy', version: wanted } : { kind: 'lost', reason: 'versioning is not enabled: a copy would destroy what is there; enable it and try again' };
}
