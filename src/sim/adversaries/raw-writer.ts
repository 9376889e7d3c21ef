/**
 * A writer without a client: it makes manifests, receipts and certificates by hand and says to single nodes
 * what a test wants said, in any order, right or wrong. Its cells are drawn from a seed instead of coded: a
 * node checks a cell against its row and the row against the root, and knows no more than that.
 */
import { EMPTY, hex, utf8 } from '../../base/bytes.ts';
import type { Channel, Frame } from '../../base/ports.ts';
import { sha256 } from '../../crypto/primitives.ts';
import type { SigningKey } from '../../crypto/primitives.ts';
import { MatrixFolder, rowLeaf } from '../../merkle/tiles.ts';
import { encodeBucketRecord, SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import type { BucketRecord } from '../../protocol/bucket-record.ts';
import { encodeCertificate, receiptBodyOf } from '../../protocol/certificate.ts';
import type { CertReceipt } from '../../protocol/certificate.ts';
import { encode } from '../../protocol/encoding.ts';
import { encodeManifest, signedManifestToWire } from '../../protocol/manifest.ts';
import type { Manifest, Part, SignedManifest } from '../../protocol/manifest.ts';
import { decodeAnswer, encodeRequest } from '../../protocol/messages.ts';
import type { AnswerOf, RefusedAnswer, Request, RequestType } from '../../protocol/messages.ts';
import { encodeReceipt } from '../../protocol/receipt.ts';
import { writerIdOf, ZERO_STAMP } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import { cellBytesOf, stripeCount } from '../../protocol/stripes.ts';
import { prove } from './stage.ts';
import type { WriterStage } from './stage.ts';
import { seededKey } from '../members.ts';
import type { SimulatedWriter } from '../members.ts';

export type Answer<T extends RequestType> =
  | { readonly ok: true; readonly answer: AnswerOf<T>; readonly payload: Uint8Array }
  | { readonly ok: false; readonly refused: RefusedAnswer };

export interface RawVersion {
  readonly signed: SignedManifest;
  /** By stripe, then by slot; empty unless DATA. */
  readonly cells: readonly (readonly Uint8Array[])[];
  readonly rows: readonly Uint8Array[];
  /** INLINE body or part table. */
  readonly body: Uint8Array;
}

export interface VersionOptions {
  readonly key: string;
  readonly counter: number;
  /** What the cells or the body are drawn from; the key and counter when left out. */
  readonly content?: string;
  readonly size?: number;
  readonly cellBytes?: number;
  /** All cells of a stripe alike, so that large ones are made quickly. */
  readonly alike?: boolean;
  readonly kind?: Manifest['kind'];
  readonly parts?: readonly RawVersion[];
  /** Changes the manifest before it is signed. */
  readonly amend?: (manifest: Manifest) => Manifest;
  /** Who signs; the writer itself when left out. */
  readonly signer?: SigningKey;
}

export const idOf = (name: string): Uint8Array => sha256(utf8(name));

export function drawn(name: string, size: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = new DataView(sha256(utf8(name)).slice().buffer).getUint32(0) | 1;
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** The key with which a test cluster's node signs. */
export function nodeKey(slot: number): SigningKey {
  return seededKey(`node ${slot}`);
}

export class RawWriter {
  readonly world: WriterStage;
  readonly identity: SimulatedWriter;
  readonly sessionNonce: Uint8Array;
  #bucketStamp: Stamp = ZERO_STAMP;
  readonly #channels = new Map<number, Channel>();

  constructor(world: WriterStage, writer: number = 0, session: string = 'session') {
    const identity = world.writers[writer];
    if (identity === undefined) throw new Error(`no writer ${writer}`);
    this.world = world;
    this.identity = identity;
    this.sessionNonce = idOf(session).subarray(0, 16);
  }

  get writerId(): Uint8Array {
    return writerIdOf(this.identity.gatewayId, this.sessionNonce);
  }

  stamp(counter: number, gen: number = 1): Stamp {
    return { gen, counter, writerId: this.writerId };
  }

  /** Acts under the bucket record with this stamp from now on. */
  under(stamp: Stamp): void {
    this.#bucketStamp = stamp;
  }

  async frame(slot: number, body: Uint8Array, payload: Uint8Array = EMPTY): Promise<Frame> {
    let channel = this.#channels.get(slot);
    if (channel === undefined) {
      const config = this.world.cluster.slotAt(slot);
      const address = config?.addresses[0];
      if (config === undefined || address === undefined) throw new Error(`no slot ${slot}`);
      const transport = this.world.network.transport(this.identity.name, hex(this.identity.tlsKey.publicKey));
      channel = transport.open(address, hex(config.tlsKey));
      this.#channels.set(slot, channel);
    }
    return channel.request({ body, payload }, { timeoutMs: 10_000 });
  }

  /** Ends the connection to a slot; the next request makes a new one. */
  async hangUp(slot: number): Promise<void> {
    await this.#channels.get(slot)?.close();
    this.#channels.delete(slot);
  }

  async ask<T extends RequestType>(slot: number, request: Request & { readonly t: T }, payload: Uint8Array = EMPTY): Promise<Answer<T>> {
    const frame = await this.frame(slot, encodeRequest(request), payload);
    const parsed = decodeAnswer(request.t, frame.body);
    if (parsed.kind === 'malformed') throw new Error(`malformed answer: ${parsed.reason}`);
    return parsed.kind === 'refused'
      ? { ok: false, refused: parsed.refused }
      : { ok: true, answer: parsed.answer, payload: frame.payload };
  }

  version(options: VersionOptions): RawVersion {
    const { key, counter, kind = 'DATA', parts = [] } = options;
    const { n, k } = this.world.cluster.geometry;
    const content = options.content ?? `${key} ${counter}`;
    const size = options.size ?? (kind === 'TABLE' ? parts.reduce((sum, p) => sum + p.signed.manifest.size, 0) : 1000);
    const cellBytes = kind === 'DATA' ? (options.cellBytes ?? 1024) : 0;
    const matrix = kind === 'DATA' ? matrixOf(content, { n, k, cellBytes, size }, options.alike === true) : null;
    const body = kind === 'INLINE' ? drawn(content, size + 16) : kind === 'TABLE' ? encode(parts.map(partOf)) : EMPTY;
    const manifest: Manifest = {
      v: 1,
      suite: 1,
      bucketId: idOf('bucket'),
      keyId: idOf(key),
      stamp: this.stamp(counter),
      opId: idOf(`operation ${key} ${counter} ${content}`),
      gatewayId: this.identity.gatewayId,
      sessionNonce: this.sessionNonce,
      kind,
      mode: 'PLAIN',
      slot: null,
      epoch: this.world.cluster.epoch,
      bucketStamp: this.#bucketStamp,
      n,
      k: kind === 'INLINE' || kind === 'TOMBSTONE' ? 1 : k,
      size: kind === 'TOMBSTONE' ? 0 : size,
      cellBytes,
      contentId: matrix?.root ?? (kind === 'TOMBSTONE' ? new Uint8Array(32) : sha256(body)),
      retainUntil: 0,
      wrappedKey: EMPTY,
      encMeta: utf8('sealed'),
      clear: EMPTY,
    };
    const signed = this.sign(options.amend?.(manifest) ?? manifest, options.signer);
    return { signed, cells: matrix?.cells ?? [], rows: matrix?.rows ?? [], body };
  }

  sign(manifest: Manifest, signer: SigningKey = this.identity.signingKey): SignedManifest {
    const body = encodeManifest(manifest);
    return { manifest, body, hash: sha256(body), proof: prove(this.world.cluster, signer, 'manifest', body) };
  }

  /** PREPARE with the content in the way that fits: one cell or body beside the manifest, or an upload. */
  async prepare(
    slot: number,
    version: RawVersion,
    more: { readonly record?: Uint8Array; readonly prevCert?: Uint8Array; readonly upload?: Uint8Array } = {},
  ): Promise<Answer<'PREPARE'>> {
    const shown = { record: more.record ?? null, prevCert: more.prevCert ?? null };
    const manifest = signedManifestToWire(version.signed);
    const [row] = version.rows;
    if (more.upload !== undefined || version.rows.length > 1) {
      const upload = more.upload ?? (await this.upload(slot, version));
      return this.ask(slot, { t: 'PREPARE', manifest, upload, row: null, ...shown });
    }
    const payload = version.cells[0]?.[slot] ?? version.body;
    return this.ask(slot, { t: 'PREPARE', manifest, upload: null, row: row ?? null, ...shown }, payload);
  }

  /** Sends all cells of a version to a slot. Returns the upload's id; throws when a cell is refused. */
  async upload(slot: number, version: RawVersion, id: Uint8Array = this.world.random.bytes(16)): Promise<Uint8Array> {
    const column = version.cells.map((row) => row[slot] ?? EMPTY);
    const reserve = column.reduce((sum, cell) => sum + cell.length, 0);
    for (const [stripe, cell] of column.entries()) {
      const row = version.rows[stripe] ?? EMPTY;
      const answer = await this.ask(slot, { t: 'CELL', upload: id, stripe, reserve, row }, cell);
      if (!answer.ok) throw new Error(`cell ${stripe}: ${answer.refused.code} ${answer.refused.reason}`);
    }
    return id;
  }

  /** PREPARE at all of these slots; throws unless each gives a receipt. */
  async receipts(version: RawVersion, slots: readonly number[]): Promise<CertReceipt[]> {
    return Promise.all(
      slots.map(async (slot) => {
        const answer = await this.prepare(slot, version);
        if (!answer.ok) throw new Error(`slot ${slot}: ${answer.refused.code} ${answer.refused.reason}`);
        return { slot, ...answer.answer };
      }),
    );
  }

  /** A receipt as this slot's node would sign it, by its key: for slots that have no node, or a lying one. */
  receiptOf({ signed }: RawVersion, slot: number, logIndex: number, incarnation: number = 1): CertReceipt {
    const nodeId = this.world.cluster.slotAt(slot)?.nodeId ?? EMPTY;
    const body = encodeReceipt(receiptBodyOf(signed, nodeId, { slot, incarnation, logIndex }));
    return { slot, incarnation, logIndex, proof: prove(this.world.cluster, nodeKey(slot), 'receipt', body) };
  }

  certificate(version: RawVersion, receipts: readonly CertReceipt[]): Uint8Array {
    return encodeCertificate({ signed: version.signed, ballot: null, receipts });
  }

  commit(slot: number, cert: Uint8Array, inline: Uint8Array = EMPTY): Promise<Answer<'COMMIT'>> {
    return this.ask(slot, { t: 'COMMIT', cert, inline: inline.length > 0 }, inline);
  }

  /** A whole write: receipts of q slots, and the certificate at `holders` (all slots when left out). Returns the certificate. */
  async write(version: RawVersion, holders?: readonly number[]): Promise<Uint8Array> {
    const slots = this.world.cluster.slots.map((s) => s.slot);
    const cert = this.certificate(version, await this.receipts(version, slots));
    for (const slot of holders ?? slots) {
      const answer = await this.commit(slot, cert);
      if (!answer.ok) throw new Error(`slot ${slot}: ${answer.refused.code} ${answer.refused.reason}`);
    }
    return cert;
  }

  /** A version of the bucket's record. */
  record(counter: number, amend: Partial<BucketRecord> = {}): RawVersion {
    const record: BucketRecord = {
      v: 1,
      bucketId: idOf('bucket'),
      gen: 1,
      mode: 'PLAIN',
      versioning: 'NEVER',
      lock: false,
      geometries: [this.world.cluster.geometry.k],
      quotaBytes: 0,
      state: 'OPEN',
      ...amend,
    };
    return this.version({
      key: 'bucket',
      counter,
      kind: 'INLINE',
      content: `record ${counter} ${JSON.stringify(amend)}`,
      amend: (m) => ({ ...m, bucketId: SYSTEM_BUCKET_ID, keyId: record.bucketId, bucketStamp: ZERO_STAMP, clear: encodeBucketRecord(record) }),
    });
  }

  /** Opens the bucket at `holders` and acts under it. Returns the record's certificate. */
  async openBucket(holders?: readonly number[]): Promise<Uint8Array> {
    const record = this.record(1);
    const cert = await this.write(record, holders);
    this.under(record.signed.manifest.stamp);
    return cert;
  }

  query(slot: number, key: string): Promise<Answer<'QUERY'>> {
    return this.ask(slot, { t: 'QUERY', keyId: idOf(key), cell0: false, seen: null });
  }

  fetch(slot: number, version: RawVersion, stripe: number = 0, leaseMs: number = 0): Promise<Answer<'FETCH'>> {
    const { hash: manifestHash, manifest } = version.signed;
    return this.ask(slot, { t: 'FETCH', keyId: manifest.keyId, manifestHash, stamp: manifest.stamp, contentId: manifest.contentId, stripe, leaseMs });
  }

  body(slot: number, version: RawVersion): Promise<Answer<'BODY'>> {
    const { hash: manifestHash, manifest } = version.signed;
    return this.ask(slot, { t: 'BODY', keyId: manifest.keyId, manifestHash, stamp: manifest.stamp, contentId: manifest.contentId, leaseMs: 0 });
  }

  /** All leaves of a node's log. */
  async leaves(slot: number): Promise<Uint8Array[]> {
    const leaves: Uint8Array[] = [];
    for (;;) {
      const answer = await this.ask(slot, { t: 'CHANGES', from: leaves.length, to: Number.MAX_SAFE_INTEGER });
      if (!answer.ok) throw new Error(`CHANGES: ${answer.refused.code}`);
      if (answer.answer.leaves.length === 0) return leaves;
      leaves.push(...answer.answer.leaves);
    }
  }
}

interface Shape {
  readonly n: number;
  readonly k: number;
  readonly cellBytes: number;
  readonly size: number;
}

function matrixOf(content: string, shape: Shape, alike: boolean) {
  const folder = new MatrixFolder();
  const cells: Uint8Array[][] = [];
  const rows: Uint8Array[] = [];
  for (let stripe = 0; stripe < stripeCount(shape); stripe += 1) {
    const bytes = cellBytesOf(shape, stripe);
    const cell = (slot: number): Uint8Array => drawn(`${content} ${stripe} ${slot}`, bytes);
    const row = alike ? new Array<Uint8Array>(shape.n).fill(cell(0)) : Array.from({ length: shape.n }, (_, slot) => cell(slot));
    const hashes = new Uint8Array(32 * shape.n);
    row.forEach((cell, slot) => hashes.set(sha256(cell), 32 * slot));
    cells.push(row);
    rows.push(hashes);
    folder.add(rowLeaf(hashes));
  }
  return { cells, rows, root: folder.finish().root };
}

function partOf({ signed }: RawVersion): Part {
  const { contentId, size, n, k, cellBytes } = signed.manifest;
  return { contentId, size, n, k, cellBytes, salt: new Uint8Array(16) };
}
