/**
 * A storage node's state: the journal, and the views that are derived from it. There is one way to change
 * anything: make a record, apply it to the views, append it to the journal; recovery applies the same records
 * with the same function. Between making a record and queueing it nothing awaits, so log indexes, views and
 * journal agree on one order. What a record promises may be told only when its append has resolved (spec:
 * order of durability, section 5).
 */
import { RecentBytes } from '../base/recent.ts';
import { mapKey } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import type { CellJournal } from '../journal/cell-journal.ts';
import type { LogJournal } from '../journal/log-journal.ts';
import type { Pointer } from '../journal/pointer.ts';
import { decodeEntry } from '../log/entry-types.ts';
import type { Entry } from '../log/entry-types.ts';
import type { MerkleLog } from '../log/merkle-log.ts';
import { decodeBucketRecord, SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import type { BucketRecord } from '../protocol/bucket-record.ts';
import { decodeAttributes } from '../protocol/attributes.ts';
import { decodeCertificate } from '../protocol/certificate.ts';
import type { Certificate } from '../protocol/certificate.ts';
import { decodeBoot, decodeEvict, decodeRepaired, decodeStampBody } from '../protocol/log-entries.ts';
import { openSignedManifest } from '../protocol/manifest.ts';
import type { Manifest, SignedManifest, SignedManifestWire } from '../protocol/manifest.ts';
import { ballotOf, decodeBallotRequest, decodeProposal, decodeStaged, NO_VERSION } from '../protocol/slot.ts';
import type { Ballot, BallotRequest, SignedBody, StagedBody } from '../protocol/slot.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { StatementProof } from '../protocol/statement.ts';
import { assert } from '../base/assert.ts';
import { OperationError } from '../base/errors.ts';
import { equal } from '../base/bytes.ts';
import { claimedBytes, Contents } from './contents.ts';
import { decodeRecord, encodeRecord, extentCount } from './records.ts';
import type { NodeRecord } from './records.ts';
import { Register } from './register.ts';
import type { RestoredChain, Version, VersionSlot } from './register.ts';
import { Stages } from './stages.ts';
import type { Stage } from './stages.ts';

/** Some 10 MB of leaves. */
const RECENT_LEAVES = 32 * 1024;
const RECENT_CERTIFICATES_BYTES = 16 * 1024 * 1024;

export interface HeldBucketRecord {
  readonly record: BucketRecord;
  readonly stamp: Stamp;
  readonly version: Version;
}

export interface HeldAnchor {
  readonly gatewayId: Uint8Array;
  readonly note: string;
}

export interface Remembered {
  readonly incarnation: number;
  readonly proof: StatementProof;
}

/** A writer's revocation as the node keeps it. */
export interface HeldRevocation {
  readonly gatewayId: Uint8Array;
  readonly document: Uint8Array;
  readonly logIndex: number;
}

/** What the writer of a record has at hand in parsed form; recovery parses the record itself. */
export interface ParsedRecord {
  readonly signed?: SignedManifest;
  readonly cert?: Certificate;
  readonly ballot?: BallotRequest;
  readonly proposed?: Ballot;
  readonly staged?: StagedBody;
}

export interface AcceptedProposal {
  readonly manifest: SignedManifest;
  readonly proposal: SignedBody;
  readonly staged: Uint8Array;
}

export interface Recorded {
  /** Index of the leaf; -1 for a local record. */
  readonly logIndex: number;
  /** Resolves when the record is durable; rejects when the journal failed, and the node must stop. */
  readonly durable: Promise<void>;
}

export class NodeState {
  readonly log: MerkleLog;
  readonly register = new Register();
  readonly contents: Contents;
  readonly stages = new Stages();
  readonly places = new LeafPlaces();
  readonly bucketRecords = new Map<string, HeldBucketRecord>();
  /** Incarnations that peers asked this node to keep, by slot. */
  readonly remembered = new Map<number, Remembered>();
  /** The newest checkpoints of the gateways' audit logs. */
  readonly anchors = new Map<string, HeldAnchor>();
  /** For each slot the version whose certificate carries that slot's highest log index. */
  readonly highestBySlot = new Map<number, { readonly logIndex: number; readonly version: Version }>();
  /** Sizes of the peers' logs up to which this node has taken their certificates in. */
  marks: readonly number[] = [];
  /** Writers that are obeyed no more, by gatewayId. */
  readonly revoked = new Map<string, HeldRevocation>();
  /** Missing cells, "content:stripe". */
  readonly holes = new Set<string>();
  incarnation = 0;
  /** Records applied so far: the journal's sequence number. */
  recordCount = 0;
  configHash: Uint8Array | null = null;
  readonly #clock: Clock;
  /** The end of the log, which every gateway follows: served without reading it back. */
  readonly #recentLeaves = new Map<number, Uint8Array>();
  /** What readers ask for again and again; filled from what was written or read back. */
  readonly #recentCertificates = new RecentBytes(RECENT_CERTIFICATES_BYTES);
  #queued: Promise<void> = Promise.resolve();

  #journal: LogJournal | null = null;
  #cells: CellJournal | null = null;

  constructor(log: MerkleLog, clock: Clock) {
    this.log = log;
    this.contents = new Contents();
    this.#clock = clock;
  }

  /**
   * Applies and queues one record. The caller awaits `durable` before it tells anyone, and hands on what it has
   * parsed of it. The cells that a record binds are synced together with it. Throws what the journal refuses (DISK_FULL, BUSY, or its own end) before anything has changed.
   */
  write(record: NodeRecord, parsed: ParsedRecord = {}): Recorded {
    const bytes = encodeRecord(record);
    const refused = this.journal.refusal([bytes]);
    if (refused !== null) throw refused;
    this.recordCount += 1;
    const logIndex = this.#appendLeaf(record);
    const bindsContent = 'content' in record && record.content !== null;
    const append = this.journal.append([bytes], bindsContent ? this.cells.sync() : undefined);
    const settle = this.apply(record, logIndex, parsed);
    const durable = append.then(([pointer]) => {
      assert(pointer !== undefined, 'one record gives one pointer');
      settle.settled(pointer);
      this.#leafIsDurable(logIndex, pointer);
    });
    settle.pending(durable);
    this.#queued = durable;
    // Whoever asked awaits `durable`; a rejection must not count as unhandled before that.
    durable.catch(() => undefined);
    return { logIndex, durable };
  }

  /** Ends recovery: the views are complete; from now on the cell journal knows what is live and is told of what no longer is. */
  attach(journal: LogJournal, cells: CellJournal): void {
    this.#journal = journal;
    this.#cells = cells;
    for (const pointer of this.contents.pieces()) cells.retain(pointer);
    cells.recovered();
  }

  get journal(): LogJournal {
    assert(this.#journal !== null, 'the state is recovered');
    return this.#journal;
  }

  get cells(): CellJournal {
    assert(this.#cells !== null, 'the state is recovered');
    return this.#cells;
  }

  /** Resolves when everything queued so far is durable. */
  queuedIsDurable(): Promise<void> {
    return this.#queued;
  }

  /** Applies one record of the journal during recovery. */
  replay(bytes: Uint8Array, pointer: Pointer): void {
    const record = decodeRecord(bytes);
    this.recordCount += 1;
    const logIndex = this.#appendLeaf(record);
    this.apply(record, logIndex).settled(pointer);
    this.#leafIsDurable(logIndex, pointer);
  }

  #leafIsDurable(logIndex: number, pointer: Pointer): void {
    if (logIndex < 0) return;
    this.places.set(logIndex, pointer);
    this.log.markDurable(Math.max(this.log.durableSize, logIndex + 1));
  }

  #appendLeaf(record: NodeRecord): number {
    if (!('leaf' in record)) return -1;
    const { type, body } = entryOf(record.leaf);
    const index = this.log.append(type, body);
    this.#recentLeaves.set(index, record.leaf);
    this.#recentLeaves.delete(index - RECENT_LEAVES);
    return index;
  }

  /** Changes the views. Returns how to tell the touched version that its record is pending or settled. */
  apply(record: NodeRecord, logIndex: number, parsed: ParsedRecord = {}): { settled(at: Pointer): void; pending(durable: Promise<void>): void } {
    let version: Version | undefined;
    let stage: Stage | undefined;
    /** Pieces whose space may be used again once the record is durable, not before. */
    let spare: readonly Pointer[] = [];
    switch (record.r) {
      case 'PREPARED': {
        const signed = parsed.signed ?? manifestOf(record.manifest);
        if (record.content !== null) spare = this.contents.add(record.content, this.#clock.monotonicMs());
        version = this.#version(signed, record.binds, { prepared: logIndex, incarnation: this.incarnation, committed: -1 });
        this.register.addPrepared(version);
        this.#bindAll(version);
        if (record.slot !== undefined) this.#accepted(version, record.slot.proposal, parsed.proposed ?? proposedIn(record.slot.proposal));
        break;
      }
      case 'PROMISED':
        this.#promised(record.request, parsed.ballot ?? ballotIn(record.request));
        break;
      case 'STAGED': {
        if (record.content !== null) spare = this.contents.add(record.content, this.#clock.monotonicMs());
        stage = this.#staged(parsed.staged ?? stagedIn(record.leaf), record.binds, record.bytes, logIndex);
        break;
      }
      case 'UNSTAGED':
        this.stages.end(record.stageId);
        break;
      case 'RELEASED':
        this.#endStage(record.stageId);
        break;
      case 'COMMITTED': {
        const cert = parsed.cert ?? certificateOf(record.cert);
        if (record.content !== null) spare = this.contents.add(record.content, this.#clock.monotonicMs());
        const own = this.register.prepared(cert.signed.manifest.keyId, cert.signed.hash);
        version = this.#version(cert.signed, record.binds, {
          prepared: own?.preparedIndex ?? -1,
          incarnation: own?.preparedIncarnation ?? 0,
          committed: logIndex,
        });
        this.#bindAll(version);
        this.register.certify(version);
        if (version.slot !== null && version.slot.stageId !== null) this.#endStage(version.slot.stageId);
        this.#noteReceipts(cert, version);
        this.#adoptBucketRecord(cert.signed, version);
        break;
      }
      case 'REPAIRED':
        if (record.content !== null) spare = this.contents.add(record.content, this.#clock.monotonicMs());
        this.#repaired(record.leaf, record.binds);
        break;
      case 'RESTORED':
        spare = this.contents.moved(record.content);
        this.#restored(record.leaf);
        break;
      case 'EVICT':
        this.#evict(record.leaf);
        break;
      case 'ABORT':
      case 'NEVER':
        this.#letGo(record.r, record.leaf);
        break;
      case 'BOOT': {
        const boot = decodeBoot(record.leaf.subarray(1));
        if (!boot.ok) throw damaged(boot.reason);
        this.incarnation = boot.value.incarnation;
        this.configHash = record.configHash;
        break;
      }
      case 'HOLE':
        this.holes.add(holeKey(record.contentId, record.stripe));
        break;
      case 'SNAPSHOT':
        break;
      case 'REVOKED':
        this.revoked.set(mapKey(record.gatewayId), { gatewayId: record.gatewayId, document: record.document, logIndex });
        break;
      case 'MOVED':
        spare = this.contents.moved(record.content);
        break;
      case 'FREED': {
        const content = this.contents.get(record.contentId);
        if (content === undefined || content.boundBy.size > 0) break;
        // Should the same content come again, what is lost of it then is another loss.
        this.#closeHoles(content.id);
        spare = this.contents.free(content);
        break;
      }
      case 'REMEMBERED':
        this.remembered.set(record.slot, { incarnation: record.incarnation, proof: record.proof });
        break;
      case 'ANCHORED':
        this.anchors.set(mapKey(record.gatewayId), { gatewayId: record.gatewayId, note: record.note });
        break;
      case 'MARKS':
        this.marks = record.sizes;
        break;
    }
    return {
      settled: (at) => {
        if (version !== undefined) version.at = at;
        if (this.#cells !== null) for (const pointer of spare) this.#cells.release(pointer);
      },
      pending: (durable) => {
        if (version !== undefined) version.durable = durable;
        if (stage !== undefined) stage.durable = durable;
      },
    };
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  /** From a snapshot: hashes, subtree roots and places of the next leaves, all durable. */
  restoreLeaves(hashes: Uint8Array, roots: Uint8Array, places: Uint8Array): void {
    const first = this.log.size;
    this.log.restoreLeaves(hashes, roots);
    this.places.restore(first, places);
  }

  restoreKey(
    keyId: Uint8Array,
    max: Version | null,
    prepared: readonly Version[],
    never: readonly Stamp[],
    chain: RestoredChain | null,
  ): void {
    if (max !== null) this.register.certify(max);
    for (const version of prepared) this.register.addPrepared(version);
    for (const stamp of never) this.register.addNever(keyId, stamp);
    if (chain !== null) this.register.restoreChain(keyId, chain);
    for (const version of [...(max === null ? [] : [max]), ...prepared, ...(chain?.kept ?? [])]) this.#bindAll(version);
  }

  restoreSuperseded(version: Version, certified: boolean): void {
    this.register.restoreSuperseded({ version, certified });
    this.#bindAll(version);
  }

  isRevoked(gatewayId: Uint8Array): boolean {
    return this.revoked.size > 0 && this.revoked.has(mapKey(gatewayId));
  }

  isHole(contentId: Uint8Array, stripe: number): boolean {
    return this.holes.has(holeKey(contentId, stripe));
  }

  /** The certificate of a certified version, read back and digest-checked. */
  async readCertificate(version: Version): Promise<Uint8Array> {
    await version.durable;
    assert(version.at !== null, 'a durable version has a place');
    const known = this.#recentCertificates.get(mapKey(version.hash));
    if (known !== undefined) return known;
    const record = decodeRecord(await this.journal.read(version.at));
    if (record.r !== 'COMMITTED') throw damaged('a certificate was expected');
    this.#recentCertificates.put(mapKey(version.hash), record.cert);
    return record.cert;
  }

  /** The manifest of a prepared or certified version. */
  async readManifest(version: Version): Promise<SignedManifest> {
    await version.durable;
    assert(version.at !== null, 'a durable version has a place');
    const record = decodeRecord(await this.journal.read(version.at));
    if (record.r === 'PREPARED') {
      const opened = openSignedManifest(record.manifest);
      if (opened.ok) return opened.value;
    } else if (record.r === 'COMMITTED') {
      const cert = decodeCertificate(record.cert);
      if (cert.ok) return cert.value.signed;
    }
    throw damaged('a manifest was expected');
  }

  /** A manifest accepted in a slot, with the proposal it was accepted in last. */
  async readAccepted(version: Version): Promise<AcceptedProposal> {
    await version.durable;
    assert(version.at !== null, 'a durable version has a place');
    const record = decodeRecord(await this.journal.read(version.at));
    if (record.r !== 'PREPARED' || record.slot === undefined) throw damaged('a proposal was expected');
    return { manifest: manifestOf(record.manifest), ...record.slot };
  }

  /** The certificate of the COMMITTED entry at an index below the durable size; null: another entry stands there. */
  async readCommitted(index: number): Promise<Uint8Array | null> {
    const record = decodeRecord(await this.journal.read(this.places.get(index)));
    return record.r === 'COMMITTED' ? record.cert : null;
  }

  /** The leaf bytes at an index below the durable size. */
  async readLeaf(index: number): Promise<Uint8Array> {
    return this.#recentLeaves.get(index) ?? this.readStoredLeaf(index);
  }

  /** As `readLeaf`, from the disk in any case. */
  async readStoredLeaf(index: number): Promise<Uint8Array> {
    const record = decodeRecord(await this.journal.read(this.places.get(index)));
    if (!('leaf' in record)) throw damaged('a leaf was expected');
    return record.leaf;
  }

  #version(
    { manifest, hash }: SignedManifest,
    binds: Uint8Array,
    at: { readonly prepared: number; readonly incarnation: number; readonly committed: number },
  ): Version {
    return {
      hash,
      keyId: manifest.keyId,
      bucketId: manifest.bucketId,
      stamp: manifest.stamp,
      kind: manifest.kind,
      gatewayId: manifest.gatewayId,
      contentId: manifest.contentId,
      binds,
      bytes: claimedBytes(manifest),
      preparedIndex: at.prepared,
      preparedIncarnation: at.incarnation,
      committedIndex: at.committed,
      at: null,
      durable: Promise.resolve(),
      slot: slotOf(manifest),
    };
  }

  #promised(request: SignedBody, ballot: BallotRequest): void {
    const { keyId, prev } = ballot;
    const open = this.register.openSlot(keyId);
    const accepted = open !== null && equal(open.prev, prev) ? open.accepted : null;
    this.register.setOpen(keyId, { prev, promised: ballotOf(ballot), request, accepted });
  }

  /** Accepting implies the promise. */
  #accepted({ keyId, hash, slot }: Version, proposal: SignedBody, ballot: Ballot): void {
    const prev = slot?.prev ?? NO_VERSION;
    this.register.setOpen(keyId, { prev, promised: ballot, request: proposal, accepted: { ballot, hash } });
  }

  #staged(body: StagedBody, binds: Uint8Array, bytes: number, logIndex: number): Stage {
    const { bucketId, keyId, stageId, contentId, gatewayId, incarnation } = body;
    const terms = { bucketId, keyId, stageId, contentId, gatewayId };
    const stage: Stage = { ...terms, binds, bytes, logIndex, incarnation, durable: Promise.resolve() };
    this.restoreStage(stage);
    return stage;
  }

  restoreStage(stage: Stage): void {
    this.stages.add(stage, this.#clock.monotonicMs());
    this.register.charge(stage.gatewayId, stage.bytes);
    for (const id of contentIds(stage.binds)) this.contents.bind(id, stage.stageId);
  }

  #endStage(stageId: Uint8Array): void {
    const stage = this.stages.drop(stageId);
    if (stage === undefined) return;
    this.register.charge(stage.gatewayId, -stage.bytes);
    for (const id of contentIds(stage.binds)) this.contents.unbind(id, stageId, this.#clock.monotonicMs());
  }

  #bindAll(version: Version): void {
    for (const id of contentIds(version.binds)) this.contents.bind(id, version.hash);
  }

  /** What the other slots have signed, so that one of them can be told when it was rolled back (13.9). */
  #noteReceipts(cert: Certificate, version: Version): void {
    for (const { slot, logIndex } of cert.receipts) {
      if (logIndex > (this.highestBySlot.get(slot)?.logIndex ?? -1)) this.highestBySlot.set(slot, { logIndex, version });
    }
  }

  #adoptBucketRecord({ manifest }: SignedManifest, version: Version): void {
    if (!equal(manifest.bucketId, SYSTEM_BUCKET_ID)) return;
    const record = decodeBucketRecord(manifest.clear);
    if (record.ok) this.bucketRecords.set(mapKey(manifest.keyId), { record: record.value, stamp: manifest.stamp, version });
  }

  #repaired(leaf: Uint8Array, binds: Uint8Array): void {
    const body = decodeRepaired(leaf.subarray(1));
    if (!body.ok) throw damaged(body.reason);
    const version = this.register.kept(body.value.keyId, body.value.manifestHash);
    if (version === undefined) return;
    version.binds = binds;
    this.#bindAll(version);
    this.#closeHoles(body.value.contentId);
  }

  #restored(leaf: Uint8Array): void {
    const body = decodeRepaired(leaf.subarray(1));
    if (!body.ok) throw damaged(body.reason);
    const { contentId, stripe } = body.value;
    if (stripe === undefined) this.#closeHoles(contentId);
    else this.holes.delete(holeKey(contentId, stripe));
  }

  #closeHoles(contentId: Uint8Array): void {
    const content = this.contents.get(contentId);
    if (content === undefined || this.holes.size === 0) return;
    for (let stripe = 0; stripe < extentCount(content.cells); stripe += 1) this.holes.delete(holeKey(contentId, stripe));
  }

  #evict(leaf: Uint8Array): void {
    const evict = decodeEvict(leaf.subarray(1));
    if (!evict.ok) throw damaged(evict.reason);
    const version = this.register.evicted(evict.value.manifestHash);
    if (version !== undefined) this.#unbindAll(version);
  }

  #letGo(kind: 'ABORT' | 'NEVER', leaf: Uint8Array): void {
    const body = decodeStampBody(leaf.subarray(1));
    if (!body.ok) throw damaged(body.reason);
    if (kind === 'NEVER') {
      this.register.addNever(body.value.keyId, body.value.stamp);
      return;
    }
    const version = this.register.abort(body.value.keyId, body.value.stamp);
    if (version !== undefined) this.#unbindAll(version);
  }

  #unbindAll(version: Version): void {
    for (const id of contentIds(version.binds)) this.contents.unbind(id, version.hash, this.#clock.monotonicMs());
  }
}

function slotOf({ slot, retainUntil, clear }: Manifest): VersionSlot | null {
  if (slot === null) return null;
  const { prev, removes, lockMode, legalHold, stage } = slot;
  const decoded = clear.length === 0 ? null : decodeAttributes(clear);
  const attributes = decoded?.ok === true ? decoded.value : null;
  return { prev, removes, lockMode, legalHold, retainUntil, stageId: stage?.id ?? null, attributes };
}

export function contentIds(binds: Uint8Array): Uint8Array[] {
  return Array.from({ length: binds.length / 32 }, (_, i) => binds.subarray(32 * i, 32 * i + 32));
}

/** Where the record of every leaf lies: 12 bytes a leaf, so that ranges of the log can be served. */
export class LeafPlaces {
  #triples = new Uint32Array(3 * 1024);

  set(index: number, { segment, offset, length }: Pointer): void {
    this.#reach(index + 1);
    this.#triples[3 * index] = segment;
    this.#triples[3 * index + 1] = offset;
    this.#triples[3 * index + 2] = length;
  }

  /** The triples of the leaves [from, to) as big-endian numbers. */
  slice(from: number, to: number): Uint8Array {
    const out = new Uint8Array(12 * (to - from));
    const view = new DataView(out.buffer);
    for (let i = 0; i < 3 * (to - from); i += 1) view.setUint32(4 * i, this.#triples[3 * from + i] ?? 0);
    return out;
  }

  /** Takes triples as `slice` gave them. */
  restore(from: number, packed: Uint8Array): void {
    this.#reach(from + packed.length / 12);
    const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
    for (let i = 0; i < packed.length / 4; i += 1) this.#triples[3 * from + i] = view.getUint32(4 * i);
  }

  #reach(count: number): void {
    if (3 * count <= this.#triples.length) return;
    const grown = new Uint32Array(Math.max(2 * this.#triples.length, 3 * count));
    grown.set(this.#triples);
    this.#triples = grown;
  }

  get(index: number): Pointer {
    const [segment = 0, offset = 0, length = 0] = this.#triples.subarray(3 * index, 3 * index + 3);
    return { segment, offset, length };
  }
}

function manifestOf(wire: SignedManifestWire): SignedManifest {
  const opened = openSignedManifest(wire);
  if (!opened.ok) throw damaged(opened.reason);
  return opened.value;
}

function proposedIn({ body }: SignedBody): Ballot {
  const decoded = decodeProposal(body);
  if (!decoded.ok) throw damaged(decoded.reason);
  return ballotOf(decoded.value);
}

function ballotIn({ body }: SignedBody): BallotRequest {
  const decoded = decodeBallotRequest(body);
  if (!decoded.ok) throw damaged(decoded.reason);
  return decoded.value;
}

function stagedIn(leaf: Uint8Array): StagedBody {
  const decoded = decodeStaged(leaf.subarray(1));
  if (!decoded.ok) throw damaged(decoded.reason);
  return decoded.value;
}

function certificateOf(bytes: Uint8Array): Certificate {
  const cert = decodeCertificate(bytes);
  if (!cert.ok) throw damaged(cert.reason);
  return cert.value;
}

function entryOf(leaf: Uint8Array): Entry {
  const entry = decodeEntry(leaf);
  if (entry === null) throw damaged('a leaf of unknown type');
  return entry;
}

function holeKey(contentId: Uint8Array, stripe: number): string {
  return `${mapKey(contentId)}:${stripe}`;
}

function damaged(reason: string): OperationError {
  return new OperationError('LOST_STATE', `The journal holds what this version cannot apply: ${reason}.`);
}
