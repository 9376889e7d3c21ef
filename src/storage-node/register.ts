/**
 * The register of every key (protocol 5): the highest certified version, the versions with a receipt and no
 * certificate yet, and the stamps that the node promised never to accept. In a serialised bucket also the
 * slot that is open (6.4), older versions that are kept, and which ones were removed (13.6). A view of the log: nothing here is
 * changed but by applying a journal record, live and in recovery alike.
 */
import { EMPTY, equal, mapKey } from '../base/bytes.ts';
import type { Pointer } from '../journal/pointer.ts';
import type { Attributes } from '../protocol/attributes.ts';
import type { ManifestKind, SlotTerms } from '../protocol/manifest.ts';
import { NO_VERSION } from '../protocol/slot.ts';
import type { AcceptedManifest, Ballot, SignedBody } from '../protocol/slot.ts';
import { compareStamps, sameStamp, stampText, ZERO_STAMP } from '../protocol/stamp.ts';
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
  /** Null for PLAIN. */
  readonly slot: VersionSlot | null;
}

/** What this node must know of a SLOT manifest without reading it back. */
export type VersionSlot = Pick<SlotTerms, 'prev' | 'removes' | 'lockMode' | 'legalHold'> & {
  readonly stageId: Uint8Array | null;
  readonly retainUntil: number;
  /** Of a register of attributes: what they say. */
  readonly attributes: Attributes | null;
};

/** The slot after the newest version, while something was promised or accepted in it. */
export interface OpenSlot {
  readonly prev: Uint8Array;
  readonly promised: Ballot;
  /** The request for that promise, or the proposal that implied it. */
  readonly request: SignedBody;
  readonly accepted: { readonly ballot: Ballot; readonly hash: Uint8Array } | null;
}

/** What versions before the newest a serialised bucket still knows. */
interface Chain {
  /** Certified, not the newest, not removed; in no order. */
  kept: Version[];
  /** Stamp of a version that was removed by name → the manifest that removed it. */
  readonly removed: Map<string, Version>;
  /** The highest manifest that ended all before it. */
  floor: Stamp;
  open: OpenSlot | null;
}

interface KeyState {
  max: Version | null;
  prepared: Version[];
  never: Stamp[];
  chain: Chain | null;
}

/** Versions below it have ended. */
function floorOf({ max, chain }: KeyState): Stamp {
  if (chain !== null) return chain.floor;
  return max?.slot?.removes === 'ALL' ? max.stamp : ZERO_STAMP;
}

/** What a certificate would be to the state of its key. */
export type Standing =
  /** Above all that is held. */
  | { readonly kind: 'newest' }
  /** Below the newest, but a version that is kept. */
  | { readonly kind: 'older' }
  /** Held already, or ended by what is held. */
  | { readonly kind: 'dominated'; readonly by: Version };

/** A chain as a snapshot keeps it. */
export interface RestoredChain {
  readonly kept: readonly Version[];
  /** Manifests that removed versions by name. */
  readonly removers: readonly Version[];
  readonly floor: Stamp;
}

/** One key for a snapshot. */
export interface KeyView {
  readonly keyId: string;
  readonly max: Version | null;
  readonly prepared: readonly Version[];
  readonly never: readonly Stamp[];
  readonly chain: {
    readonly kept: readonly Version[];
    readonly removed: ReadonlyMap<string, Version>;
    readonly floor: Stamp;
    readonly open: OpenSlot | null;
  } | null;
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
    return state?.prepared.find((v) => sameStamp(v.stamp, stamp)) ?? state?.chain?.kept.find((v) => sameStamp(v.stamp, stamp));
  }

  /** The certified version of exactly this stamp that is kept: the newest or an older one. */
  versionAt(keyId: Uint8Array, stamp: Stamp): Version | undefined {
    const state = this.#keys.get(mapKey(keyId));
    if (state?.max && sameStamp(state.max.stamp, stamp)) return state.max;
    return state?.chain?.kept.find((v) => sameStamp(v.stamp, stamp));
  }

  /** The certified version of this hash that is kept. */
  kept(keyId: Uint8Array, hash: Uint8Array): Version | undefined {
    const state = this.#keys.get(mapKey(keyId));
    if (state?.max && equal(state.max.hash, hash)) return state.max;
    return state?.chain?.kept.find((v) => equal(v.hash, hash));
  }

  /** The manifest by which the version of this stamp has ended, as far as is known here. */
  removerOf(keyId: Uint8Array, stamp: Stamp): Version | undefined {
    const state = this.#keys.get(mapKey(keyId));
    const named = state?.chain?.removed.get(stampText(stamp));
    if (named !== undefined) return named;
    const max = state?.max ?? null;
    return max?.slot?.removes === 'ALL' && compareStamps(stamp, max.stamp) < 0 ? max : undefined;
  }

  preparedOf(keyId: Uint8Array): readonly Version[] {
    return this.#keys.get(mapKey(keyId))?.prepared ?? [];
  }

  /** Stamps that manifests with a receipt and no certificate yet would remove. */
  preparedRemovals(keyId: Uint8Array): readonly Stamp[] {
    return this.preparedOf(keyId).flatMap(({ slot }) => (slot === null || slot.removes === 'ALL' ? [] : slot.removes));
  }

  /** A certified version of the key that rests on the stage. */
  certifiedOn(keyId: Uint8Array, stageId: Uint8Array): Version | undefined {
    const state = this.#keys.get(mapKey(keyId));
    const certified = [...(state?.max ? [state.max] : []), ...(state?.chain?.kept ?? [])];
    return certified.find(({ slot }) => equal(slot?.stageId ?? EMPTY, stageId));
  }

  /** Uncertified manifests of the key that rest on a stage. */
  preparedOn(keyId: Uint8Array, stageId: Uint8Array): readonly Version[] {
    return this.preparedOf(keyId).filter(({ slot }) => equal(slot?.stageId ?? EMPTY, stageId));
  }

  /** Is it certain here that the manifest is not, or not any more, a version of its key? */
  isSettled(keyId: Uint8Array, { hash, prev, stamp }: AcceptedManifest): boolean {
    const state = this.#keys.get(mapKey(keyId));
    if (state === undefined) return false;
    if (compareStamps(stamp, floorOf(state)) < 0 || state.chain?.removed.has(stampText(stamp)) === true) return true;
    const certified = [...(state.max === null ? [] : [state.max]), ...(state.chain?.kept ?? [])];
    return certified.some((v) => v.slot !== null && equal(v.slot.prev, prev) && !equal(v.hash, hash));
  }

  openSlot(keyId: Uint8Array): OpenSlot | null {
    return this.#keys.get(mapKey(keyId))?.chain?.open ?? null;
  }

  /** Where a certificate of this stamp and hash would stand. */
  standing(keyId: Uint8Array, stamp: Stamp, hash: Uint8Array, isSlot: boolean): Standing {
    const state = this.#keys.get(mapKey(keyId));
    const max = state?.max ?? null;
    if (state === undefined || max === null || compareStamps(stamp, max.stamp) > 0) return { kind: 'newest' };
    if (!isSlot) return { kind: 'dominated', by: max };
    const held = this.kept(keyId, hash) ?? state.chain?.removed.get(stampText(stamp));
    if (held !== undefined) return { kind: 'dominated', by: held };
    return compareStamps(stamp, floorOf(state)) < 0 ? { kind: 'dominated', by: max } : { kind: 'older' };
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

  versions(): Iterable<KeyView> {
    return (function* (keys) {
      for (const [keyId, state] of keys) yield { keyId, ...state };
    })(this.#keys);
  }

  addPrepared(version: Version): void {
    const state = this.#state(version.keyId);
    const again = state.prepared.findIndex((v) => equal(v.hash, version.hash));
    if (again >= 0) {
      // Accepted once more, in a higher ballot.
      state.prepared[again] = version;
      return;
    }
    state.prepared.push(version);
    this.#charge(version, version.bytes);
  }

  /** A ballot was promised in the slot, and perhaps a manifest accepted in it. */
  setOpen(keyId: Uint8Array, open: OpenSlot): void {
    this.#chain(this.#state(keyId)).open = open;
  }

  /** Bytes that a writer holds here without a certificate, beside its manifests: stages. */
  charge(gatewayId: Uint8Array, bytes: number): void {
    this.#chargeTo(gatewayId, bytes);
  }

  /** Takes a certified version in, in its mode. */
  certify(version: Version): void {
    if (version.slot === null) this.#certifyPlain(version);
    else this.#certifyInChain(version, version.slot);
  }

  /** From a snapshot, after the key's newest version. */
  restoreChain(keyId: Uint8Array, { kept, removers, floor }: RestoredChain): void {
    const chain = this.#chain(this.#state(keyId));
    chain.kept = [...kept];
    chain.floor = floor;
    for (const by of removers) {
      if (by.slot !== null && by.slot.removes !== 'ALL') for (const stamp of by.slot.removes) chain.removed.set(stampText(stamp), by);
    }
  }

  #certifyInChain(version: Version, slot: VersionSlot): void {
    const state = this.#state(version.keyId);
    const chain = this.#chain(state);
    const before = state.max;
    const isNewest = before === null || compareStamps(version.stamp, before.stamp) > 0;
    const older = [...chain.kept, ...(isNewest && before !== null ? [before] : [])];
    if (slot.removes === 'ALL') {
      if (compareStamps(version.stamp, chain.floor) > 0) chain.floor = version.stamp;
    } else {
      for (const stamp of slot.removes) chain.removed.set(stampText(stamp), version);
    }
    const isGone = (v: Version): boolean =>
      chain.removed.has(stampText(v.stamp)) || compareStamps(v.stamp, chain.floor) < 0;
    chain.kept = older.filter((v) => !isGone(v) && v.kind !== 'REMOVE');
    for (const v of older) if (isGone(v)) this.#supersede(v, true);
    if (isNewest) {
      state.max = version;
      chain.open = null;
    } else if (isGone(version)) {
      this.#supersede(version, true);
    } else if (version.kind !== 'REMOVE') {
      chain.kept.push(version);
    }
    this.#settlePrepared(state, chain, version, slot, isNewest);
    if (isNewest) state.never = state.never.filter((s) => compareStamps(s, version.stamp) > 0);
    const isPlainHistory = chain.kept.length === 0 && chain.removed.size === 0 && chain.open === null;
    // Most keys have one version: what its own manifest says need not be kept twice.
    if (isNewest && (slot.removes === 'ALL' || (isPlainHistory && sameStamp(chain.floor, ZERO_STAMP)))) state.chain = null;
  }

  /** Receipts whose slot is decided, or whose version is ended, bind no more. Others may be of certified versions that come late. */
  #settlePrepared(state: KeyState, chain: Chain, version: Version, slot: VersionSlot, isNewest: boolean): void {
    const keep: Version[] = [];
    for (const prepared of state.prepared) {
      const isOwn = equal(prepared.hash, version.hash);
      const isRival = !isOwn && prepared.slot !== null && equal(prepared.slot.prev, slot.prev);
      const isEnded = compareStamps(prepared.stamp, chain.floor) < 0 || chain.removed.has(stampText(prepared.stamp));
      const isBeside = isNewest && slot.removes === 'ALL' && prepared.slot !== null && !equal(prepared.slot.prev, version.hash);
      if (!isOwn && !isRival && !isEnded && !isBeside) {
        keep.push(prepared);
        continue;
      }
      this.#charge(prepared, -prepared.bytes);
      if (!isOwn) this.#supersede(prepared, false);
    }
    state.prepared = keep;
  }

  /**
   * A certificate becomes the highest: the version it replaces, and every receipt below it, is superseded.
   * The bond of the prepared entry of the same manifest passes to the certificate.
   */
  #certifyPlain(version: Version): void {
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
    const open = state.chain?.open ?? null;
    if (state.chain !== null && open !== null && equal(open.accepted?.hash ?? EMPTY, version?.hash ?? NO_VERSION)) {
      state.chain.open = { ...open, accepted: null };
    }
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
    this.#chargeTo(version.gatewayId, bytes);
  }

  #chargeTo(gatewayId: Uint8Array, bytes: number): void {
    const name = mapKey(gatewayId);
    const next = (this.#uncertified.get(name) ?? 0) + bytes;
    if (next === 0) this.#uncertified.delete(name);
    else this.#uncertified.set(name, next);
  }

  #state(keyId: Uint8Array): KeyState {
    const name = mapKey(keyId);
    let state = this.#keys.get(name);
    if (state === undefined) {
      state = { max: null, prepared: [], never: [], chain: null };
      this.#keys.set(name, state);
    }
    return state;
  }

  #chain(state: KeyState): Chain {
    state.chain ??= { kept: [], removed: new Map(), floor: floorOf(state), open: null };
    return state.chain;
  }
}
