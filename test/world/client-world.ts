/**
 * Protocol clients in a test cluster: a bucket, keys, contents, and an attempt journal that remembers in
 * memory what it was told, so that tests can check the order of what must be durable.
 */
import { concat, equal, hex, utf8 } from '../../src/base/bytes.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import { ProtocolClient } from '../../src/client/client.ts';
import type { ClientOptions } from '../../src/client/client.ts';
import type { Attempt, AttemptJournal } from '../../src/client/attempts.ts';
import type { Certified } from '../../src/client/certificates.ts';
import type { ReadResult } from '../../src/client/read.ts';
import type { Proof } from '../../src/evidence/finding.ts';
import type { SlotWriteRequest, SlotWriteResult } from '../../src/client/slot-write.ts';
import type { BucketAuthority, WriteRequest, WriteResult } from '../../src/client/write.ts';
import type { WriteContent } from '../../src/client/content.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import { encodeBucketRecord, SYSTEM_BUCKET_ID } from '../../src/protocol/bucket-record.ts';
import type { BucketRecord } from '../../src/protocol/bucket-record.ts';
import { ZERO_STAMP } from '../../src/protocol/stamp.ts';
import type { World } from './world.ts';

export class MemoryJournal implements AttemptJournal {
  readonly begun: Attempt[] = [];
  readonly abandonedAttempts: Attempt[] = [];
  readonly settledAttempts: Attempt[] = [];

  begin(attempt: Attempt): Promise<void> {
    this.begun.push(attempt);
    return Promise.resolve();
  }

  abandoned(attempt: Attempt): Promise<void> {
    this.abandonedAttempts.push(attempt);
    return Promise.resolve();
  }

  published(attempt: Attempt): Promise<void> {
    return this.settled(attempt);
  }

  superseded(attempt: Attempt): Promise<void> {
    return this.settled(attempt);
  }

  settled(attempt: Attempt): Promise<void> {
    this.settledAttempts.push(attempt);
    return Promise.resolve();
  }
}

const id = (name: string): Uint8Array => sha256(utf8(name));

/** The same bytes for the same name and size. */
export function contentOf(name: string, size: number): Uint8Array {
  const out = new Uint8Array(size);
  let state = new DataView(id(name).buffer.slice(0)).getUint32(0) | 1;
  for (let i = 0; i < size; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[i] = state >>> 24;
  }
  return out;
}

/** The bytes as a body, in chunks that fit no boundary. */
export async function* bodyOf(bytes: Uint8Array, chunkBytes: number = 50_021): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

export async function collectBytes(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return concat(...chunks);
}

export interface TestClient {
  readonly client: ProtocolClient;
  readonly journal: MemoryJournal;
  readonly evidence: Proof[];
}

let operations = 0;

export function clientOf(world: World, writer: number = 0, options: Partial<ClientOptions> = {}): TestClient {
  const identity = world.writers[writer];
  if (identity === undefined) throw new Error(`no writer ${writer}`);
  const journal = new MemoryJournal();
  const evidence: Proof[] = [];
  const client = new ProtocolClient({
    cluster: world.cluster,
    transport: world.network.transport(identity.name, hex(identity.tlsKey.publicKey)),
    clock: world.clock,
    random: world.random,
    telemetry: world.telemetry,
    workspaces: new WorkspacePool(wasmCodec, {
      workspaceCount: 2,
      cellCountMax: world.cluster.geometry.n,
      cellBytesMax: CELL_BYTES_MAX,
    }),
    gatewayId: identity.gatewayId,
    signingKey: identity.signingKey,
    journal,
    onEvidence: (item) => evidence.push(item),
    ...options,
  });
  return { client, journal, evidence };
}

export function recordOf(world: World, name: string, amend: Partial<BucketRecord> = {}): BucketRecord {
  return {
    v: 1,
    bucketId: id(`bucket ${name}`),
    gen: 1,
    mode: 'PLAIN',
    versioning: 'NEVER',
    lock: false,
    geometries: [world.cluster.geometry.k],
    quotaBytes: 0,
    state: 'OPEN',
    ...amend,
  };
}

/** Writes a bucket record and returns what writers of the bucket act under. */
export async function putRecord(world: World, { client }: TestClient, record: BucketRecord): Promise<BucketAuthority> {
  const result = await client.write({
    bucket: { bucketId: SYSTEM_BUCKET_ID, gen: 1, k: 1, stamp: ZERO_STAMP, recordCert: null },
    keyId: record.bucketId,
    opId: nextOpId(),
    content: bytesContent(utf8('sealed name')).content,
    clear: encodeBucketRecord(record),
  });
  if (result.outcome !== 'committed') throw new Error(`the record was not written: ${describeResult(result)}`);
  return {
    bucketId: record.bucketId,
    gen: record.gen,
    k: world.cluster.geometry.k,
    stamp: result.signed.manifest.stamp,
    recordCert: result.certBytes,
  };
}

export function nextOpId(): Uint8Array {
  operations += 1;
  return id(`operation ${operations}`);
}

/** A content sealed under a key drawn from its bytes and a counter, so that no key seals twice. */
export function bytesContent(
  bytes: Uint8Array,
  amend: Partial<Extract<WriteContent, { kind: 'bytes' }>> = {},
): { readonly content: Extract<WriteContent, { kind: 'bytes' }>; readonly dataKey: Uint8Array } {
  operations += 1;
  const dataKey = sha256(utf8(`key ${operations}`), bytes);
  const content = {
    kind: 'bytes' as const,
    size: bytes.length,
    body: bodyOf(bytes),
    dataKey,
    // Stands in for the sealed key: tests read it back from the manifest.
    wrappedKey: dataKey,
    finish: () => Promise.resolve(utf8('sealed metadata')),
    ...amend,
  };
  return { content, dataKey };
}

export function put(
  { client }: TestClient,
  bucket: BucketAuthority,
  key: string,
  bytes: Uint8Array,
  amend: Partial<WriteRequest> = {},
): Promise<WriteResult> {
  return client.write({ bucket, keyId: id(key), opId: nextOpId(), content: bytesContent(bytes).content, ...amend });
}

/** Writes through a slot; by default unconditionally, as in a bucket that keeps no versions. */
export function putSlot(
  { client }: TestClient,
  bucket: BucketAuthority,
  key: string,
  bytes: Uint8Array,
  amend: Partial<SlotWriteRequest> = {},
): Promise<SlotWriteResult> {
  return client.writeSlot({
    bucket,
    keyId: id(key),
    opId: nextOpId(),
    content: bytesContent(bytes).content,
    decide: () => Promise.resolve({ removes: 'ALL' }),
    needsCertified: false,
    ...amend,
  });
}

/** Throws unless the write was committed. */
export function committedSlot(result: SlotWriteResult): Extract<SlotWriteResult, { outcome: 'committed' }> {
  if (result.outcome === 'committed') return result;
  throw new Error(`not committed: ${result.outcome === 'declined' ? 'declined' : describeResult(result)}`);
}

export function keyIdOf(key: string): Uint8Array {
  return id(key);
}

export function get({ client }: TestClient, key: string, range: { start?: number; end?: number } = {}): Promise<ReadResult> {
  return client.read(id(key), ({ manifest }) => ({ dataKey: manifest.wrappedKey, ...range }));
}

/** The bytes of the newest version; null when there is none. */
export async function getBytes(client: TestClient, key: string): Promise<Uint8Array | null> {
  const result = await get(client, key);
  return result.kind === 'content' ? collectBytes(result.stream) : null;
}

/** Throws unless the write was committed. */
export function committed(result: WriteResult): Extract<WriteResult, { outcome: 'committed' }> {
  if (result.outcome !== 'committed') throw new Error(`not committed: ${describeResult(result)}`);
  return result;
}

export function describeResult(result: WriteResult | Exclude<SlotWriteResult, { outcome: 'declined' }>): string {
  switch (result.outcome) {
    case 'committed':
      return 'committed';
    case 'rejected':
      return `rejected ${result.error.code}: ${result.error.message}`;
    case 'unknown':
      return `unknown: ${result.reason}`;
  }
}

export function sameBytes(a: Uint8Array | null, b: Uint8Array): boolean {
  return a !== null && equal(a, b);
}

export type { Certified };
