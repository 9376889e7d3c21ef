/**
 * The register of every key (protocol 5): the highest certified version, the versions with a receipt and no
 * certificate yet, and the stamps that the node promised never to accept. A view of the log: nothing here is
 * changed but by applying a journal record, live and in recovery alike.
 */
import { equal, mapKey } from '../base/bytes.ts';
import type { Pointer } from '../journal/pointer.ts';
import type { ManifestKind } from '../protocol/manifest.ts';
import { compareStamps, sameStamp, ZERO_STAMP } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';

export interface Version {
  readonly hash: Uint8Array;
  readonly keyId: Uint8Array;
  readonly bucketId: Uint8Array;
  readonly stamp: Stamp;
  readonly kind: ManifestKind;
  readonly gatewayId: Uint8Array;
  readonly contentId: Uint8Array;
  /** Ids of all contents it keeps here, its own first; 32 bytes each. */
  binds: Uint8Array;
  /** Bytes it takes on this node, for the quota while it is uncertified. */
  readonly bytes: number;
  /** Index of the PREPARED leaf that this node's receipt names, and the incarnation it was made in; -1 when it gave none. */
  readonly preparedIndex: number;
  readonly preparedIncarnation: number;
  /** Index of the COMMITTED leaf; -1 while uncertified. */
  readonly committedIndex: number;
  /** The journal record that holds its manifest (PREPARED) or certificate (COMMITTED); null until durable. */
  at: Pointer | null;
  /** Resolves when that record is durable; nothing about the version is told before. */
  durable: Promise<void>;
}

interface KeyState {
  max: Version | null;
  prepared: Version[];
  never: Stamp[];
}

/** A version that a higher certificate has made evictable, once 13.2 allows it. */
export interface Superseded {
  readonly version: Version;
  readonly certified: boolean;
}

export class Register {
  readonly #keys = new Map<string, KeyState>();
  readonly #superseded = new Map<string, Superseded>();
  /** Uncertified bytes by writer (P9). */
  readonly #uncertified = new Map<string, number>();

  get keyCount(): number {
    return this.#keys.size;
  }

  max(keyId: Uint8Array): Version | null {
    return this.#keys.get(mapKey(keyId))?.max ?? null;
  }

  maxStamp(keyId: Uint8Array): Stamp {
    return this.max(keyId)?.stamp ?? ZERO_STAMP;
  }

  /** The version accepted for exactly this stamp, if any. */
  acceptedAt(keyId: Uint8Array, stamp: Stamp): Version | undefined {
    const state = this.#keys.get(mapKey(keyId));
    if (state?.max && sameStamp(state.max.stamp, stamp)) return state.max;
    return state?.prepared.find((v) => sameStamp(v.stamp, stamp));
  }

  prepared(keyId: Uint8Array, hash: Uint8Array): Version | undefined {
    return this.#keys.get(mapKey(keyId))?.prepared.find((v) => equal(v.hash, hash));
  }

  promisedNever(keyId: Uint8Array, stamp: Stamp): boolean {
    return this.#keys.get(mapKey(keyId))?.never.some((s) => sameStamp(s, stamp)) ?? false;
  }

  uncertifiedBytes(gatewayId: Uint8Array): number {
    return this.#uncertified.get(mapKey(gatewayId)) ?? 0;
  }

  superseded(): IterableIterator<Superseded> {
    return this.#superseded.values();
  }

  get supersededCount(): number {
    return this.#superseded.size;
  }

  supersededByHash(hash: Uint8Array): Superseded | undefined {
    return this.#superseded.get(mapKey(hash));
  }

  versions(): Iterable<{ readonly max: Version | null; readonly prepared: readonly Version[]; readonly never: readonly Stamp[]; readonly keyId: string }> {
    return (function* (keys) {
      for (const [keyId, state] of keys) yield { keyId, ...state };
    })(this.#keys);
  }

  addPrepared(version: Version): void {
    this.#state(version.keyId).prepared.push(version);
    this.#charge(version, version.bytes);
  }

  /**
   * A certificate becomes the highest: the version it replaces, and every receipt below it, is superseded.
   * Returns the prepared entry of the same manifest, whose bond passes to the certificate.
   */
  setMax(version: Version): void {
    const state = this.#state(version.keyId);
    if (state.max !== null) this.#supersede(state.max, true);
    state.max = version;
    const keep: Version[] = [];
    for (const prepared of state.prepared) {
      if (equal(prepared.hash, version.hash)) this.#charge(prepared, -prepared.bytes);
      else if (compareStamps(prepared.stamp, version.stamp) > 0) keep.push(prepared);
      else {
        this.#charge(prepared, -prepared.bytes);
        this.#supersede(prepared, false);
      }
    }
    state.prepared = keep;
    state.never = state.never.filter((s) => compareStamps(s, version.stamp) > 0);
  }

  addNever(keyId: Uint8Array, stamp: Stamp): void {
    if (!this.promisedNever(keyId, stamp)) this.#state(keyId).never.push(stamp);
  }

  /** An abort licence: the stamp's receipt no longer binds. Returns the version let go. The stamp is never accepted again. */
  abort(keyId: Uint8Array, stamp: Stamp): Version | undefined {
    const state = this.#state(keyId);
    const version = state.prepared.find((v) => sameStamp(v.stamp, stamp));
    state.prepared = state.prepared.filter((v) => v !== version);
    if (version !== undefined) this.#charge(version, -version.bytes);
    this.addNever(keyId, stamp);
    return version;
  }

  restoreSuperseded(superseded: Superseded): void {
    this.#superseded.set(mapKey(superseded.version.hash), superseded);
  }

  /** The superseded version is gone for good. */
  evicted(hash: Uint8Array): Version | undefined {
    const found = this.#superseded.get(mapKey(hash));
    this.#superseded.delete(mapKey(hash));
    return found?.version;
  }

  #supersede(version: Version, certified: boolean): void {
    if (version.binds.length > 0) this.#superseded.set(mapKey(version.hash), { version, certified });
  }

  #charge(version: Version, bytes: number): void {
    const name = mapKey(version.gatewayId);
    const next = (this.#uncertified.get(name) ?? 0) + bytes;
    if (next === 0) this.#uncertified.delete(name);
    else this.#uncertified.set(name, next);
  }

  #state(keyId: Uint8Array): KeyState {
    const name = mapKey(keyId);
    let state = this.#keys.get(name);
    if (state === undefined) {
      state = { max: null, prepared: [], never: [] };
      this.#keys.set(name, state);
    }
    return state;
  }
}
