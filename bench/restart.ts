/**
 * Restart of a storage node: how long until its state stands again, after a clean stop (a snapshot and no
 * tail) and after a kill at the worst moment (a snapshot, and as many records since as a node ever leaves
 * behind one). The journal is filled with the records that PREPARE and COMMIT write, certificates of five
 * receipts included. The time includes everything from opening the folder to the complete state.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMPTY, u32be, utf8 } from '../src/base/bytes.ts';
import type { Telemetry } from '../src/base/ports.ts';
import { sha256 } from '../src/crypto/primitives.ts';
import { encodeEntry } from '../src/log/entry-types.ts';
import { rowLeaf } from '../src/merkle/tiles.ts';
import { SystemClock } from '../src/platform/clock.ts';
import { NodeDisk } from '../src/platform/disk.ts';
import { SystemRandom } from '../src/platform/random.ts';
import { encodeCertificate, receiptBodyOf } from '../src/protocol/certificate.ts';
import type { Cluster } from '../src/protocol/configuration.ts';
import { committedBodyOf, encodeBoot } from '../src/protocol/log-entries.ts';
import { encodeManifest, openSignedManifest, signedManifestToWire } from '../src/protocol/manifest.ts';
import type { SignedManifest } from '../src/protocol/manifest.ts';
import { encodeReceipt } from '../src/protocol/receipt.ts';
import { writerIdOf } from '../src/protocol/stamp.ts';
import { signBatch, statementLeaf } from '../src/protocol/statement.ts';
import { TUNING_DEFAULT } from '../src/storage-node/context.ts';
import { packExtents } from '../src/storage-node/records.ts';
import { recover } from '../src/storage-node/recover.ts';
import type { Recovered } from '../src/storage-node/recover.ts';
import { makeCluster, makeNodeKeys, seededKey } from '../src/sim/members.ts';
import type { BenchRow } from './codec.ts';

const SLOTS = 6;
const QUORUM = 5;
/** Objects whose statements share one signature: a node under load. */
const BATCH = 16;
const CELL_BYTES = 1024;
const quiet: Telemetry = { count: () => undefined, event: () => undefined };

export async function benchRestart(print: (line: string) => void, objects: number = 100_000): Promise<BenchRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-restart-'));
  try {
    const node = new Node(folder);
    const tail = Math.min(TUNING_DEFAULT.snapshotRecords / 2, objects);
    let running = await node.start(true);
    await node.fill(running, 0, objects - tail);
    await running.snapshot();
    await node.fill(running, objects - tail, objects);
    await running.close();

    const killed = await node.measure();
    running = await node.start(false);
    const writing = performance.now();
    await running.snapshot();
    const snapshotMs = performance.now() - writing;
    await running.close();
    const clean = await node.measure();

    const bytes = await bytesOf(join(folder, 'journal'));
    const million = clean * (1_000_000 / objects) + Math.max(0, killed - clean);
    const rows: BenchRow[] = [
      { name: `restart at ${objects} objects after a clean stop`, value: clean / 1000, unit: 's' },
      { name: `restart at ${objects} objects after a kill, ${2 * tail} records since the snapshot`, value: killed / 1000, unit: 's' },
      { name: 'the latter at 10^6 objects, extrapolated (must <= 10)', value: million / 1000, unit: 's' },
      { name: `writing the snapshot of ${objects} objects`, value: snapshotMs / 1000, unit: 's' },
      { name: 'log and snapshot bytes per object', value: bytes / objects, unit: 'B' },
    ];
    for (const row of rows) print(`${row.name}: ${row.value?.toFixed(2)} ${row.unit}`);
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

class Node {
  readonly #disk: NodeDisk;
  readonly #cluster: Cluster;
  readonly #keys = makeNodeKeys(SLOTS);
  readonly #gatewayId = sha256(utf8('gateway'));
  readonly #writer = seededKey('gateway');
  readonly #nonce = new Uint8Array(16);

  constructor(folder: string) {
    this.#disk = new NodeDisk(folder);
    const gateway = { gatewayId: this.#gatewayId, signingKey: this.#writer, tlsKey: seededKey('gateway tls'), name: 'gateway', capabilities: ['write' as const] };
    this.#cluster = makeCluster(this.#keys, [gateway], { f: 1, k: 4 });
  }

  async start(fresh: boolean): Promise<Recovered> {
    const self = this.#cluster.slotAt(0);
    if (self === undefined) throw new Error('the cluster has slots');
    const ports = { disk: this.#disk, clock: new SystemClock(), random: new SystemRandom(), telemetry: quiet };
    const deps = { cluster: this.#cluster, signingKey: seededKey('node 0'), ...ports, fresh };
    return recover(deps, self, TUNING_DEFAULT);
  }

  /** Milliseconds of one restart. */
  async measure(): Promise<number> {
    const started = performance.now();
    const running = await this.start(false);
    const ms = performance.now() - started;
    await running.close();
    return ms;
  }

  /** The records of so many objects, each prepared and committed. */
  async fill({ state }: Recovered, from: number, to: number): Promise<void> {
    if (state.incarnation === 0) {
      const boot = encodeBoot({ v: 1, nodeId: this.#cluster.slotAt(0)?.nodeId ?? EMPTY, epoch: 1, incarnation: 1 });
      state.write({ r: 'BOOT', leaf: encodeEntry('BOOT', boot), configHash: this.#cluster.hash });
    }
    for (let at = from; at < to; at += BATCH) {
      const signed = this.#sign(Array.from({ length: Math.min(BATCH, to - at) }, (_, i) => this.#manifest(at + i)));
      const certs = this.#certificates(signed, state.log.size);
      for (const version of signed) {
        const { manifest } = version;
        const row = new Uint8Array(32 * SLOTS).fill(manifest.stamp.counter);
        const pointer = await state.cells.append(row, new Uint8Array(CELL_BYTES));
        const body = { slot: 0, incarnation: 1, logIndex: state.log.size };
        const leaf = encodeEntry('PREPARED', encodeReceipt(receiptBodyOf(version, this.#cluster.slotAt(0)?.nodeId ?? EMPTY, body)));
        const { contentId, k, n, cellBytes, size } = manifest;
        const content = { contentId, shape: 'CELLS' as const, k, n, cellBytes, size, cells: packExtents([pointer]), blocks: EMPTY, blockRoots: contentId };
        state.write({ r: 'PREPARED', leaf, manifest: signedManifestToWire(version), content, binds: contentId }, { signed: version });
      }
      for (const [i, version] of signed.entries()) {
        const leaf = encodeEntry('COMMITTED', committedBodyOf(version));
        state.write({ r: 'COMMITTED', leaf, cert: certs[i] ?? EMPTY, content: null, binds: version.manifest.contentId });
      }
      await state.queuedIsDurable();
    }
    await state.cells.sync();
  }

  #manifest(index: number): Uint8Array {
    const id = sha256(utf8('object'), u32be(index));
    return encodeManifest({
      v: 1,
      suite: 1,
      bucketId: sha256(utf8('bucket')),
      keyId: id,
      stamp: { gen: 1, counter: 1, writerId: writerIdOf(this.#gatewayId, this.#nonce) },
      opId: id,
      gatewayId: this.#gatewayId,
      sessionNonce: this.#nonce,
      kind: 'DATA',
      mode: 'PLAIN',
      slot: null,
      epoch: 1,
      bucketStamp: { gen: 1, counter: 1, writerId: new Uint8Array(16) },
      n: SLOTS,
      k: 4,
      size: 4 * CELL_BYTES - 16,
      cellBytes: CELL_BYTES,
      contentId: rowLeaf(id),
      retainUntil: 0,
      wrappedKey: new Uint8Array(60),
      encMeta: new Uint8Array(200),
      clear: EMPTY,
    });
  }

  #sign(bodies: readonly Uint8Array[]): SignedManifest[] {
    const proofs = signBatch(this.#writer, this.#cluster.id, bodies.map((body) => statementLeaf('manifest', this.#cluster.id, body)));
    return bodies.map((body, i) => {
      const proof = proofs[i];
      const opened = proof === undefined ? undefined : openSignedManifest({ body, proof });
      if (opened?.ok !== true) throw new Error('the manifest is well-formed');
      return opened.value;
    });
  }

  #certificates(signed: readonly SignedManifest[], firstIndex: number): Uint8Array[] {
    const bySlot = Array.from({ length: QUORUM }, (_, slot) => {
      const nodeId = this.#cluster.slotAt(slot)?.nodeId ?? EMPTY;
      const bodies = signed.map((version, i) => receiptBodyOf(version, nodeId, { slot, incarnation: 1, logIndex: firstIndex + i }));
      const leaves = bodies.map((body) => statementLeaf('receipt', this.#cluster.id, encodeReceipt(body)));
      const key = this.#keys[slot]?.signing;
      if (key === undefined) throw new Error(`no slot ${slot}`);
      const proofs = signBatch(key, this.#cluster.id, leaves);
      return bodies.map((body, i) => ({ slot, incarnation: 1, logIndex: body.logIndex, proof: proofs[i] }));
    });
    return signed.map((version, i) => {
      const receipts = bySlot.map((all) => {
        const receipt = all[i];
        if (receipt?.proof === undefined) throw new Error('every statement has its proof');
        return { ...receipt, proof: receipt.proof };
      });
      return encodeCertificate({ signed: version, ballot: null, receipts });
    });
  }
}

async function bytesOf(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) if (!name.startsWith('cells-')) sum += (await stat(join(folder, name))).size;
  return sum;
}
