/** `verify` against whole clusters in one process: it accuses who is at fault, and nobody else. */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hex } from '../../src/base/bytes.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { verifyCluster } from '../../src/cli/verify-command.ts';
import type { FindingKind, VerifyReport } from '../../src/cli/verify-report.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import type { CodecFactory } from '../../src/erasure/codec.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import { decodeAnswer, decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import { clientOf, committed, contentOf, put, putRecord, recordOf } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import { liars } from '../../src/sim/adversaries/liars.ts';
import { World } from '../world/world.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';

const silent: Terminal = {
  json: true,
  say: () => undefined,
  warn: () => undefined,
  fail: () => undefined,
  write: () => Promise.resolve(),
  progress: () => ({ advance: () => undefined, end: () => undefined }),
};

function verify(world: World): Promise<VerifyReport> {
  const [writer] = world.writers;
  if (writer === undefined) throw new Error('no writer');
  const transport = world.network.transport('verify', hex(writer.tlsKey.publicKey));
  const { cluster, clock, random, telemetry } = world;
  return verifyCluster({ cluster, transport, clock, random, telemetry, terminal: silent });
}

/** Kinds of finding with at least one, by slot. */
function accusations(report: VerifyReport): Record<number, FindingKind[]> {
  return Object.fromEntries(
    report.accused().map(({ slot, found }) => [slot, (Object.keys(found) as FindingKind[]).filter((kind) => found[kind] > 0 && kind !== 'incomplete')]),
  );
}

const SIZES = [0, 100, 5_000, 1_000_000, 2_500_000];

async function fill(writer: TestClient, bucket: BucketAuthority): Promise<void> {
  for (const size of SIZES) committed(await put(writer, bucket, `object ${size}`, contentOf(`object ${size}`, size)));
  committed(await put(writer, bucket, 'object 100', contentOf('again', 200)));
}

/** Writes complete on the last slots behind the caller's back. */
async function untilComplete(world: World): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (!(await verify(world)).isDamaged) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('verify', () => {
  let world: World;
  let writer: TestClient;
  let bucket: BucketAuthority;

  beforeAll(async () => {
    world = await World.start({ n: 6, f: 1, k: 4 });
    writer = clientOf(world);
    bucket = await putRecord(world, writer, recordOf(world, 'verified'));
    await fill(writer, bucket);
    await untilComplete(world);
  });
  afterEach(() => world.interceptors.clear());
  afterAll(async () => {
    await writer.client.close();
    await world.stop();
  });

  it('finds every piece of every version in a healthy cluster, and no fault', async () => {
    const report = await verify(world);
    expect(accusations(report)).toEqual({});
    // The objects, and the record of their bucket.
    expect(report.versions).toBe(SIZES.length + 1);
    expect(report.unreadable).toBe(0);
    expect(report.writers).toEqual([]);
    const pieces = report.slots.map(({ cellsGood, found }) => cellsGood + found.incomplete);
    expect(new Set(pieces).size).toBe(1);
  });

  const withholding: Interceptor = async (honest, frame) => {
    const answered = await honest(frame);
    const request = decodeRequest(frame.body);
    if (!request.ok || request.value.t !== 'CERTS') return answered;
    const certs = request.value.keyIds.map(() => null);
    return { ...answered, body: encodeAnswer('CERTS', { certs }) };
  };
  const rewriting: Interceptor = async (honest, frame) => {
    const answered = await honest(frame);
    const request = decodeRequest(frame.body);
    const parsed = decodeAnswer('CHANGES', answered.body);
    if (!request.ok || request.value.t !== 'CHANGES' || parsed.kind !== 'answer') return answered;
    const leaves = parsed.answer.leaves.map((leaf, index) => (index === 3 ? Uint8Array.from(leaf, (byte, at) => (at === leaf.length - 1 ? byte ^ 1 : byte)) : leaf));
    return { ...answered, body: encodeAnswer('CHANGES', { ...parsed.answer, leaves }) };
  };
  const repeating = (): Interceptor => {
    let first: Uint8Array | undefined;
    return async (honest, frame) => {
      const answered = await honest(frame);
      const request = decodeRequest(frame.body);
      if (!request.ok || request.value.t !== 'CHECKPOINT') return answered;
      first ??= answered.body;
      return { ...answered, body: first };
    };
  };

  it.each<readonly [string, Interceptor, FindingKind]>([
    ['sends cells with a bit wrong', liars.wrongCells, 'wrong'],
    ['sends rows that fit its wrong cells', liars.wrongRows, 'wrong'],
    ['denies what it promised', liars.denier, 'missing'],
    ['answers with garbage', liars.garbage, 'unanswered'],
    ['hides its certificates', withholding, 'certificate'],
    ['rewrites an entry of its log', rewriting, 'log'],
  ])('accuses the one node that %s', async (_, liar, kind) => {
    world.interceptors.set(2, liar);
    const report = await verify(world);
    expect(Object.keys(accusations(report))).toEqual(['2']);
    expect(accusations(report)[2]).toContain(kind);
    expect(report.unreadable).toBe(0);
  });

  it('accuses a node that shows an old checkpoint again', async () => {
    world.interceptors.set(4, repeating());
    await verify(world);
    expect(accusations(await verify(world))).toEqual({ 4: ['log'] });
  });

  it('says of a node that is down that nothing is known, and still looks at the others', async () => {
    await world.kill(5);
    const report = await verify(world);
    expect(accusations(report)).toEqual({ 5: ['unanswered'] });
    expect(report.versions).toBe(SIZES.length + 1);
    await world.restart(5);
    expect(accusations(await verify(world))).toEqual({});
  });

  it('counts versions that cannot be read back', async () => {
    for (const slot of [0, 1, 2]) world.interceptors.set(slot, liars.wrongCells);
    const report = await verify(world);
    expect(report.unreadable).toBeGreaterThan(0);
    expect(Object.keys(accusations(report))).toEqual(['0', '1', '2']);
  });

  it('does not blame a node for what was written while it was down, and says what it lacks', async () => {
    await world.kill(3);
    committed(await put(writer, bucket, 'object 2500000', contentOf('meanwhile', 2_500_000)));
    await world.restart(3);
    const report = await verify(world);
    expect(report.accused()).toEqual([]);
    expect(report.slots[3]?.found.incomplete).toBeGreaterThan(0);
    expect(report.isDamaged).toBe(false);
    committed(await put(writer, bucket, 'object 2500000', contentOf('object 2500000', 2_500_000)));
    await untilComplete(world);
  });

  it('does not blame a node that holds an older version for lacking what never came to it', async () => {
    const key = 'object 5000';
    world.interceptors.set(3, failing('CELL', 'PREPARE', 'COMMIT'));
    committed(await put(writer, bucket, key, contentOf('meanwhile', 5_000)));
    const report = await verify(world);
    expect(report.accused()).toEqual([]);
    expect(report.slots[3]?.found.incomplete).toBeGreaterThan(0);
    world.interceptors.clear();
    committed(await put(writer, bucket, key, contentOf(key, 5_000)));
    await untilComplete(world);
  });

  it('counts versions that one more fault could take away', async () => {
    for (const slot of [0, 1]) world.interceptors.set(slot, liars.wrongCells);
    const report = await verify(world);
    expect(report.weak).toBeGreaterThan(0);
    expect(report.unreadable).toBe(0);
  });

  it('accuses nobody for what changes while it looks', async () => {
    const stop = performance.now() + 3_000;
    const writing = (async () => {
      for (let i = 0; performance.now() < stop; i += 1) {
        committed(await put(writer, bucket, `moving ${i % 3}`, contentOf(`moving ${i}`, 300_000)));
      }
    })();
    for (let i = 0; i < 3; i += 1) expect(accusations(await verify(world))).toEqual({});
    await writing;
  });
});

describe('verify of a cluster with lasting damage', () => {
  let world: World;
  let writer: TestClient;
  let bucket: BucketAuthority;
  beforeEach(async () => {
    world = await World.start({ n: 6, f: 1, k: 4 });
    writer = clientOf(world);
    bucket = await putRecord(world, writer, recordOf(world, 'damaged'));
  });
  afterEach(async () => {
    await writer.client.close();
    await world.stop();
  });

  it('accuses the node whose disk has rotted', async () => {
    await fill(writer, bucket);
    await untilComplete(world);
    await world.stopNode(1);
    const folder = path.join(world.folder, 'node-1', 'journal');
    for (const name of fs.readdirSync(folder).filter((file) => file.startsWith('cell'))) {
      const bytes = fs.readFileSync(path.join(folder, name));
      for (let at = 50_000; at < bytes.length; at += 100_000) bytes[at] = (bytes[at] ?? 0) ^ 4;
      fs.writeFileSync(path.join(folder, name), bytes);
    }
    await world.restart(1);
    const report = await verify(world);
    expect(accusations(report)).toEqual({ 1: ['damaged'] });
    expect(report.unreadable).toBe(0);
  });

  it('accuses the writer, and no node, of an encoding that is none', async () => {
    /** Codes as it should, then changes one byte of the last parity cell. */
    const miscoding: CodecFactory = (memoryBytes) => {
      const codec = wasmCodec(memoryBytes);
      return {
        ...codec,
        name: 'miscoding',
        memory: codec.memory,
        encode: (shape, place) => {
          codec.encode(shape, place);
          const at = place.base + (shape.n - 1) * place.cellBytes;
          codec.memory[at] = (codec.memory[at] ?? 0) ^ 1;
        },
        reconstruct: (shape, place, have, want) => codec.reconstruct(shape, place, have, want),
      };
    };
    const workspaces = new WorkspacePool(miscoding, { workspaceCount: 2, cellCountMax: 6, cellBytesMax: CELL_BYTES_MAX });
    const liar = clientOf(world, 0, { workspaces });
    committed(await put(liar, bucket, 'nonsense', contentOf('nonsense', 500_000)));
    await liar.client.close();
    const report = await verify(world);
    expect(report.writers).toHaveLength(1);
    expect(report.writers[0]).toContain('no codeword');
    expect(report.isDamaged).toBe(true);
  });
});
