/**
 * What became of a bucket between two moments: which versions came, and of each that went by which manifest,
 * when and by whom. A version that is live by its history and that no node shows, or that an old root counted
 * and the history does not know, is gone without an explanation.
 */
import { compareStamps } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { utf8, compare, equal } from '../../base/bytes.ts';
import { enderOf, isKnown, isSame, liveOf, stoodAt } from './history.ts';
import type { History, KeyHistory, KnownEntry, Moment } from './history.ts';
import type { BucketLeaf, RootScope } from './bucket-root.ts';

export type ChangeKind =
  /** A version of a key that had none that was live. */
  | 'added'
  /** A version of a key that had one. */
  | 'changed'
  /** A delete marker. */
  | 'marked'
  /** Gone: a later version took its place in a bucket that did not keep it. */
  | 'replaced'
  /** Gone: the object or the version was deleted. */
  | 'deleted'
  /** Gone, and nothing says why. */
  | 'unexplained';

export interface Change {
  readonly change: ChangeKind;
  readonly key: string;
  readonly stamp: Stamp;
  readonly size: number;
  readonly etag: string;
  /** What brought it, or ended it; null: nothing did. */
  readonly by: { readonly mtimeMs: number; readonly gatewayId: Uint8Array; readonly stamp: Stamp } | null;
}

/** The differences between two moments of one generation of a bucket, key by key. */
export async function* changesBetween(history: History, scope: Omit<RootScope, 'moment'>, before: Moment, after: Moment): AsyncIterable<Change> {
  for await (const object of history.objects(scope.bucketId, scope.gen)) yield* changesOf(object, before, after);
}

function changesOf({ name, entries }: KeyHistory, before: Moment, after: Moment): readonly Change[] {
  const old = liveOf(entries.filter((entry) => stoodAt(entry, before)));
  const then = entries.filter((entry) => stoodAt(entry, after) || stoodAt(entry, before));
  const now = liveOf(then);
  const known = then.filter(isKnown);
  const gone = old.filter((entry) => !now.some((other) => isSame(other, entry)));
  const came = now.filter((entry) => !old.some((other) => isSame(other, entry)));
  const hadObject = old[0]?.fact.t === 'object';
  return [
    ...gone.map((entry) => ended(name, entry, enderOf(entry, known))),
    ...came.toReversed().map((entry): Change => {
      const change = entry.fact.t === 'marker' ? 'marked' : hadObject ? 'changed' : 'added';
      return { change, ...about(name, entry), by: source(entry) };
    }),
  ];
}

function ended(name: string, entry: KnownEntry, by: KnownEntry | undefined): Change {
  const change = by === undefined ? 'unexplained' : by.fact.t === 'object' ? 'replaced' : 'deleted';
  return { change, ...about(name, entry), by: by === undefined ? null : source(by) };
}

function about(key: string, { stamp, fact: { size, etag } }: KnownEntry): Pick<Change, 'key' | 'stamp' | 'size' | 'etag'> {
  return { key, stamp, size, etag };
}

function source({ stamp, fact: { mtimeMs, gatewayId } }: KnownEntry): Change['by'] {
  return { stamp, mtimeMs, gatewayId };
}

/**
 * Leaves of a list that another list in the same order lacks: what a root counted, as its owner kept it, against
 * what the history says today of that moment.
 */
export async function* missingFrom(kept: AsyncIterable<BucketLeaf>, shown: AsyncIterable<BucketLeaf>): AsyncIterable<BucketLeaf> {
  const other = shown[Symbol.asyncIterator]();
  let next = await other.next();
  for await (const leaf of kept) {
    while (next.done !== true && isBefore(next.value, leaf)) next = await other.next();
    if (next.done === true || !equal(next.value.manifestHash, leaf.manifestHash)) yield leaf;
  }
}

/** In the order of a root. */
function isBefore(a: BucketLeaf, b: BucketLeaf): boolean {
  const order = compare(utf8(a.key), utf8(b.key));
  return order < 0 || (order === 0 && compareStamps(a.stamp, b.stamp) > 0);
}
