/**
 * What may happen to one node's folder while a cluster is off: bytes change, all of it goes, an older copy
 * comes back. `up` must start the others, say which node is lost and why, and go on serving: everything that
 * was stored is read back identical, and new writes work. Each fault meets a node that was sound before; what
 * nodes missed in earlier rounds stays missing, so at most f are ever faulty at once.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB, contentOf } from './contents.ts';
import { runCommand, until } from '../cluster/programs.ts';
import { LiveCluster, PROCESS_MS } from './live-cluster.ts';
import { IS_SLOW } from '../slow.ts';

const Bucket = 'faults';
const SIZES = [0, 1, 100, 4080, 4081, 100 * KIB, 768 * KIB, 3 * MIB + 1];
const SLOTS = [0, 1, 2, 3, 4, 5];

interface Fault {
  readonly name: string;
  readonly harm: (folder: string, olderCopy: string) => void;
  /** What `up` says about the node. */
  readonly reason: RegExp;
  readonly isSlow?: boolean;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'has flipped bytes in every file of its journal',
    harm: (folder) => flipBytes(folder, /./),
    reason: /damaged/i,
  },
  {
    name: 'is empty',
    harm: (folder) => {
      fs.rmSync(folder, { recursive: true });
      fs.mkdirSync(folder, { mode: 0o700 });
    },
    reason: /emptied/,
  },
  {
    name: 'was restored from an older copy',
    harm: (folder, olderCopy) => {
      fs.rmSync(folder, { recursive: true });
      fs.cpSync(olderCopy, folder, { recursive: true });
    },
    reason: /older|rolled back|lacks|signed/i,
  },
  {
    name: 'has one changed byte in its log',
    harm: (folder) => flipLogByte(folder, (written) => Math.floor(4096 + (written - 4096) / 2)),
    reason: /damaged/i,
    isSlow: true,
  },
  {
    name: 'has one changed byte in the last record of its log',
    // The seal that a clean stop leaves behind the last record has 56 bytes.
    harm: (folder) => flipLogByte(folder, (written) => written - 100),
    reason: /damaged|older|rolled back/i,
    isSlow: true,
  },
];
/** Each fault on one node, or on each. */
const ROUNDS = FAULTS.filter(({ isSlow }) => IS_SLOW || isSlow !== true).flatMap((fault, index) =>
  (IS_SLOW ? SLOTS : [(2 * index + 1) % 6]).map((slot) => ({ ...fault, slot })),
);
const CELLS_DAMAGED = 3;

let cluster: LiveCluster;
let client: S3Client;
/** Key → name of its content and size; null for a deleted one. */
const stored = new Map<string, { readonly content: string; readonly size: number } | null>();

async function put(Key: string, content: string, size: number): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket, Key, Body: contentOf(content, size) }));
  stored.set(Key, { content, size });
}

async function remove(Key: string): Promise<void> {
  await client.send(new DeleteObjectCommand({ Bucket, Key }));
  stored.set(Key, null);
}

async function putInParts(Key: string, size: number): Promise<void> {
  const bytes = contentOf(Key, size);
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const Parts = [];
  for (let PartNumber = 1; (PartNumber - 1) * 5 * MIB < size; PartNumber += 1) {
    const Body = bytes.subarray((PartNumber - 1) * 5 * MIB, PartNumber * 5 * MIB);
    const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
    Parts.push({ PartNumber, ETag });
  }
  await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
  stored.set(Key, { content: Key, size });
}

/** All sizes, an overwrite and a deletion, under names that begin with `round`. */
async function writeRound(round: string): Promise<void> {
  await Promise.all(SIZES.map((size) => put(`${round}/${size}`, `${round} ${size}`, size)));
  await put(`${round}/again`, `${round} first`, 300 * KIB);
  await put(`${round}/again`, `${round} second`, 200 * KIB);
  await put(`${round}/deleted`, round, 50 * KIB);
  await remove(`${round}/deleted`);
}

async function expectAllStored(): Promise<void> {
  await Promise.all([...stored].map(async ([Key, version]) => {
    const read = client.send(new GetObjectCommand({ Bucket, Key }));
    if (version === null) return expect(read, Key).rejects.toMatchObject({ name: 'NoSuchKey' });
    const { Body } = await read;
    const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
    expect(bytes.equals(contentOf(version.content, version.size)), Key).toBe(true);
  }));
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }));
  const keys = [...stored].filter(([, version]) => version !== null).map(([key]) => key);
  expect(Contents?.map(({ Key }) => Key)).toEqual(keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

/** Changes a byte in every 1,000 of the files whose names fit. */
function flipBytes(folder: string, names: RegExp): void {
  const files = fs.readdirSync(path.join(folder, 'journal')).filter((name) => names.test(name));
  expect(files.length).toBeGreaterThan(0);
  for (const name of files) {
    const file = path.join(folder, 'journal', name);
    const bytes = fs.readFileSync(file);
    for (let at = 500; at < bytes.length; at += 1_000) bytes[at] = (bytes[at] ?? 0) ^ 0x40;
    fs.writeFileSync(file, bytes);
  }
}

/** `choose` says which byte, given the last one that was written. */
function flipLogByte(folder: string, choose: (written: number) => number): void {
  const files = fs.readdirSync(path.join(folder, 'journal')).filter((name) => /^log-.*\.seg$/.test(name)).toSorted();
  for (const name of files.toReversed()) {
    const file = path.join(folder, 'journal', name);
    const bytes = fs.readFileSync(file);
    const at = choose(lastWritten(bytes));
    // A segment made ahead of its use holds a header at most.
    if (lastWritten(bytes) < 8192) continue;
    bytes[at] = (bytes[at] ?? 0) ^ 0x01;
    fs.writeFileSync(file, bytes);
    return;
  }
  throw new Error('the log holds no record');
}

/** Segments are zeros behind their last record. */
function lastWritten(bytes: Buffer): number {
  let at = bytes.length - 1;
  while (at >= 0 && bytes[at] === 0) at -= 1;
  return at;
}

describe('a cluster in which the folder of one node', () => {
  beforeAll(async () => {
    cluster = await LiveCluster.start('faults');
    client = cluster.client();
    await client.send(new CreateBucketCommand({ Bucket }));
    await writeRound('first');
    await putInParts('first/in parts', 11 * MIB);
    await cluster.stop();
    for (const slot of SLOTS) fs.cpSync(cluster.nodeFolder(slot), olderCopy(slot), { recursive: true });
    await cluster.restart();
    await writeRound('second');
    await put('first/100', 'overwritten since', 100);
    await put(`first/${768 * KIB}`, 'overwritten since, too', 500 * KIB);
    await remove('first/1');
    await cluster.stop();
  }, PROCESS_MS);
  afterAll(async () => {
    client.destroy();
    await cluster.end();
  }, PROCESS_MS);

  const olderCopy = (slot: number): string => path.join(cluster.scratch, `older-${slot}`);

  const expectServing = (lost?: number): void =>
    expect(cluster.endpoint.nodes.map(({ state }) => state)).toEqual(SLOTS.map((slot) => (slot === lost ? 'lost' : 'serving')));

  for (const { name, slot, harm, reason } of ROUNDS) {
    it(`${name} names node ${slot} as lost and serves all that was stored`, async () => {
      const kept = path.join(cluster.scratch, 'kept');
      fs.cpSync(cluster.nodeFolder(slot), kept, { recursive: true });
      harm(cluster.nodeFolder(slot), olderCopy(slot));
      try {
        await cluster.restart();
        const lost = cluster.up.events().filter(({ event }) => event === 'lost');
        expect(lost).toMatchObject([{ process: `node ${slot}`, code: 'LOST_STATE', message: expect.stringMatching(reason) as string }]);
        expectServing(slot);
        expect(cluster.node(slot).pid).toBeNull();
        await writeRound(`${name} ${slot}`);
        await expectAllStored();
        const verified = await cluster.verify();
        expect(verified, verified.text).toMatchObject({ code: 3, accused: [slot], unreadable: 0 });
      } finally {
        await cluster.stop();
        // A node whose state is lost does not come back by itself; its folder as it was does.
        fs.rmSync(cluster.nodeFolder(slot), { recursive: true });
        fs.renameSync(kept, cluster.nodeFolder(slot));
      }
    }, PROCESS_MS);
  }

  it('is back as it was has all nodes serving, and no fault is found', async () => {
    await cluster.restart();
    expectServing();
    await expectAllStored();
    const verified = await cluster.verify();
    expect(verified, verified.text).toMatchObject({ accused: [], unreadable: 0 });
  }, PROCESS_MS);

  it.runIf(IS_SLOW)('has a damaged snapshot serves with all nodes', async () => {
    await cluster.stop();
    flipBytes(cluster.nodeFolder(1), /\.snap$/);
    await cluster.restart();
    expectServing();
    await expectAllStored();
    const verified = await cluster.verify();
    expect(verified, verified.text).toMatchObject({ accused: [], unreadable: 0 });
  }, PROCESS_MS);

  it('has flipped bytes in its cell segments only serves with all nodes, is named as long as it lacks any, and is whole again', async () => {
    await cluster.stop();
    flipBytes(cluster.nodeFolder(CELLS_DAMAGED), /^cells-/);
    await cluster.restart();
    expectServing();
    await writeRound('cells damaged');
    await expectAllStored();
    // The controller gives back what the scrub and its audits find; until then verify names the node, and nobody else.
    await until('it is whole again', async () => {
      const verified = await cluster.verify();
      expect(verified, verified.text).toMatchObject({ unreadable: 0 });
      expect([[], [CELLS_DAMAGED]]).toContainEqual(verified.accused);
      return verified.code === 0;
    }, 100_000);
    const { stdout } = await runCommand('repair', '--dir', cluster.dir, '--json');
    expect((JSON.parse(stdout) as { repair: { given: number } }).repair.given).toBeGreaterThan(0);
  }, PROCESS_MS);
});
