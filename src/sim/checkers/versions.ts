/**
 * Judges what clients saw of one key of a bucket that keeps versions. The id of a version says where it stands
 * among the others, so no order need be searched for: each thing seen is held against what was known before it
 * began. What was acknowledged or shown stays and is listed until somebody asks for its removal, what was
 * removed or once missed never comes back, the newest is the newest, ids rise as time does, and what is locked
 * is there (I3, I4, I7, I10).
 */

/** Null stands for a delete marker. */
export type VersionValue = string | null;

/** `id` of a version. `from` and `to`: ticks of one clock; Infinity when nothing was heard. */
export type VersionEvent = { readonly from: number; readonly to: number } & (
  | { readonly kind: 'written'; readonly id: string; readonly value: VersionValue }
  /** Somebody asks for its removal, on an answer or not. */
  | { readonly kind: 'removed'; readonly id: string }
  /** What is read without an id; `id` is null when there is nothing. */
  | { readonly kind: 'newest'; readonly id: string | null; readonly value: VersionValue; readonly atMs: number }
  | { readonly kind: 'read'; readonly id: string; readonly value: VersionValue }
  /** It was asked for, and is not there. */
  | { readonly kind: 'missed'; readonly id: string; readonly atMs: number }
  | { readonly kind: 'listed'; readonly rows: readonly ListedVersion[]; readonly atMs: number }
  /** The version may not go before this time, in milliseconds of true time, whoever asks. */
  | { readonly kind: 'retained'; readonly id: string; readonly untilMs: number }
  /** A legal hold is laid on it, or lifted. */
  | { readonly kind: 'held'; readonly id: string; readonly on: boolean }
);

export interface ListedVersion {
  readonly id: string;
  readonly value: VersionValue;
  readonly isLatest: boolean;
}

type Compare = (a: string, b: string) => number;

/** What is known of one version. */
class Known {
  /** The first moment at which somebody knew that it is there. */
  shown = Infinity;
  /** The first moment at which somebody asked for its removal. */
  removing = Infinity;
  /** The first moment at which it was known to be gone. */
  gone = Infinity;
  value: VersionValue | undefined;
  readonly retained: { readonly untilMs: number; readonly to: number }[] = [];
  readonly holds: { readonly on: boolean; readonly from: number; readonly to: number }[] = [];

  /** Why it must be there at this time for whoever asked from `from` to `to`, or null. */
  lockAt(atMs: number, from: number, to: number): string | null {
    if (this.retained.some(({ untilMs, to: acknowledged }) => acknowledged < from && untilMs > atMs)) return 'retained';
    const isHeld = this.holds.some((laid) => laid.on && laid.to < from && !this.holds.some((lifted) => !lifted.on && lifted.to > laid.from && lifted.from < to));
    return isHeld ? 'held' : null;
  }
}

/** `compare`: the older of two ids comes first. Returns what is broken. */
export function judgeVersions(events: readonly VersionEvent[], compare: Compare): string[] {
  return new Judge(compare).judge(events);
}

/** Ids of the versions that must be there at this time, after all of these. */
export function lockedAt(events: readonly VersionEvent[], atMs: number): readonly string[] {
  const known = new Map<string, Known>();
  for (const event of events) {
    if (event.kind !== 'retained' && event.kind !== 'held') continue;
    const lock = known.get(event.id) ?? new Known();
    known.set(event.id, lock);
    if (event.kind === 'retained') lock.retained.push(event);
    else lock.holds.push(event);
  }
  return [...known].filter(([, lock]) => lock.lockAt(atMs, Infinity, Infinity) !== null).map(([id]) => id);
}

class Judge {
  readonly #compare: Compare;
  readonly #known = new Map<string, Known>();
  readonly #broken: string[] = [];

  constructor(compare: Compare) {
    this.#compare = compare;
  }

  judge(events: readonly VersionEvent[]): string[] {
    for (const event of events) this.#learn(event);
    for (const event of events) this.#learnGone(event);
    for (const event of events) this.#check(event);
    this.#checkValues();
    return this.#broken;
  }

  #of(id: string): Known {
    const known = this.#known.get(id) ?? new Known();
    this.#known.set(id, known);
    return known;
  }

  /** What each version is, when it was there, and when somebody wanted it gone. */
  #learn(event: VersionEvent): void {
    switch (event.kind) {
      case 'written':
      case 'read':
        return this.#show(event.id, event.value, event.to);
      case 'newest':
        if (event.id !== null) this.#show(event.id, event.value, event.to);
        return;
      case 'listed':
        for (const { id, value } of event.rows) this.#show(id, value, event.to);
        return;
      case 'removed':
        this.#of(event.id).removing = Math.min(this.#of(event.id).removing, event.from);
        return;
      case 'retained':
        this.#of(event.id).retained.push({ untilMs: event.untilMs, to: event.to });
        return;
      case 'held':
        this.#of(event.id).holds.push({ on: event.on, from: event.from, to: event.to });
        return;
      case 'missed':
    }
  }

  #show(id: string, value: VersionValue, to: number): void {
    const known = this.#of(id);
    if (known.value !== undefined && known.value !== value) this.#broken.push(`I7: the version ${id} is ${known.value} and ${value}`);
    known.value = value;
    known.shown = Math.min(known.shown, to);
  }

  /** After all versions are known: when each was known to be gone. */
  #learnGone(event: VersionEvent): void {
    if (event.kind === 'removed') this.#gone(event.id, event.to);
    for (const id of this.#missing(event)) this.#gone(id, event.to);
  }

  #gone(id: string, to: number): void {
    this.#of(id).gone = Math.min(this.#of(id).gone, to);
  }

  /** Versions that were known before and that this does not show. */
  #missing(event: VersionEvent): string[] {
    if (event.kind === 'missed') return this.#of(event.id).shown < event.from ? [event.id] : [];
    const known = [...this.#known].filter(([, { shown }]) => shown < event.from).map(([id]) => id);
    if (event.kind === 'listed') return known.filter((id) => !event.rows.some((row) => row.id === id));
    if (event.kind === 'newest') return known.filter((id) => event.id === null || this.#compare(id, event.id) > 0);
    return [];
  }

  #check(event: VersionEvent): void {
    for (const id of this.#missing(event)) this.#checkMissing(id, event);
    if (event.kind === 'written') this.#checkOrder(event);
    for (const id of seenIn(event)) {
      if (this.#of(id).gone < event.from) this.#broken.push(`the version ${this.#name(id)} is there again after it had gone (${event.kind})`);
    }
    if (event.kind === 'listed') this.#checkRows(event.rows);
  }

  #checkMissing(id: string, event: VersionEvent): void {
    const known = this.#of(id);
    const lock = 'atMs' in event ? known.lockAt(event.atMs, event.from, event.to) : null;
    if (lock !== null) this.#broken.push(`I10: the version ${this.#name(id)} is ${lock}, and gone (${event.kind})`);
    else if (known.removing > event.to) this.#broken.push(`the version ${this.#name(id)} is missing, and nobody has removed it (${event.kind})`);
  }

  /** What was known before a write began is older than it. */
  #checkOrder({ id, from }: { readonly id: string; readonly from: number }): void {
    for (const [other, { shown }] of this.#known) {
      if (shown < from && this.#compare(other, id) >= 0) this.#broken.push(`the version ${this.#name(id)} was written after ${this.#name(other)}, and is older`);
    }
  }

  #checkRows(rows: readonly ListedVersion[]): void {
    for (const [at, { id, isLatest }] of rows.entries()) {
      const before = rows[at - 1];
      if (before !== undefined && this.#compare(before.id, id) <= 0) this.#broken.push(`${this.#name(before.id)} is listed before ${this.#name(id)}, and is older`);
      if (isLatest !== (at === 0)) this.#broken.push(`the version ${this.#name(id)} is listed ${isLatest ? 'as the newest' : 'as an older one'} at place ${at}`);
    }
  }

  /** Of one write there is one version. */
  #checkValues(): void {
    const ids = new Map<string, string>();
    for (const [id, { value }] of this.#known) {
      if (value === null || value === undefined) continue;
      const other = ids.get(value);
      if (other !== undefined) this.#broken.push(`I7: the write ${value} became the versions ${other} and ${id}`);
      ids.set(value, id);
    }
  }

  #name(id: string): string {
    const { value } = this.#of(id);
    return `${id.slice(0, 16)} (${value === null ? 'a delete marker' : (value ?? 'never read')})`;
  }
}

function seenIn(event: VersionEvent): readonly string[] {
  switch (event.kind) {
    case 'read':
      return [event.id];
    case 'newest':
      return event.id === null ? [] : [event.id];
    case 'listed':
      return event.rows.map(({ id }) => id);
    default:
      return [];
  }
}
