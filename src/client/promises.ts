/**
 * What nodes have promised this client lately, with their signatures: places of their logs, and the version
 * that they have acknowledged of a key. Kept so that a node that breaks such a promise later is caught with
 * both halves of the proof (E4, E5). Bounded; what is forgotten only goes uncaught here.
 */
import { mapKey } from '../base/bytes.ts';
import type { EvidenceOf } from '../evidence/evidence.ts';
import type { SignedBody } from '../protocol/slot.ts';
import type { Stamp } from '../protocol/stamp.ts';

export type PlacePromise = EvidenceOf<'E4'>['promise'];

export interface Acknowledged {
  readonly stamp: Stamp;
  readonly logIndex: number;
  readonly signed: SignedBody;
}

/** Of each kind, a slot. */
const KEPT_MAX = 1024;

export class Promises {
  /** By slot, then by index. */
  readonly #places = new Map<number, Map<number, PlacePromise>>();
  /** By slot, then by key. */
  readonly #acknowledged = new Map<number, Map<string, Acknowledged>>();
  readonly #highest = new Map<number, number>();

  /** A verified promise that this stands at `index` of the slot's log. */
  place(slot: number, index: number, promise: PlacePromise): void {
    keep(ofSlot(this.#places, slot), index, promise);
    this.#highest.set(slot, Math.max(index, this.highest(slot)));
  }

  /** A verified acknowledgement of a version of this key. */
  acknowledge(slot: number, keyId: Uint8Array, acknowledged: Acknowledged): void {
    keep(ofSlot(this.#acknowledged, slot), mapKey(keyId), acknowledged);
    const { logIndex, signed } = acknowledged;
    this.place(slot, logIndex, { purpose: 'commit-ack', ...signed });
  }

  /** The highest place of its log that the slot has named; -1: none. Its log was longer than that when it did. */
  highest(slot: number): number {
    return this.#highest.get(slot) ?? -1;
  }

  /** What was promised for this place, once: it is looked at when the log has come so far. */
  due(slot: number, index: number): PlacePromise | undefined {
    const places = this.#places.get(slot);
    const promise = places?.get(index);
    places?.delete(index);
    return promise;
  }

  acknowledged(slot: number, keyId: Uint8Array): Acknowledged | undefined {
    return this.#acknowledged.get(slot)?.get(mapKey(keyId));
  }
}

function ofSlot<K, V>(all: Map<number, Map<K, V>>, slot: number): Map<K, V> {
  const known = all.get(slot) ?? new Map<K, V>();
  all.set(slot, known);
  return known;
}

function keep<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  const oldest = map.size >= KEPT_MAX ? map.keys().next() : undefined;
  if (oldest?.done === false) map.delete(oldest.value);
  map.set(key, value);
}
