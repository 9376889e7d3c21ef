/**
 * An object that is overwritten again and again must not fill the disks: when the nodes have had time to
 * collect what is superseded, each journal is below three times the live data and eight segments.
 */
import fs from 'node:fs';
import path from 'node:path';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB, contentOf } from './contents.ts';
import { LiveCluster, PROCESS_MS } from './live-cluster.ts';
import { IS_SLOW } from '../slow.ts';

const Bucket = 'overwritten';
const OBJECT_BYTES = 16 * MIB;
const OVERWRITES = IS_SLOW ? 200 : 20;
const SEGMENT_BYTES = 16 * MIB;
/** Each node holds a cell of every stripe: a quarter of the object, and beside it rows, hashes and certificates. */
const LIVE_BYTES_MAX = 1.1 * (OBJECT_BYTES / 4);
const JOURNAL_BYTES_MAX = (3 * OBJECT_BYTES) / 4 + 8 * SEGMENT_BYTES;
const COLLECTED_WITHIN_MS = 60_000;
const STEP_MS = 500;

let cluster: LiveCluster;

beforeAll(async () => {
  cluster = await LiveCluster.start('overwrite');
}, PROCESS_MS);
afterAll(async () => {
  await cluster.end();
}, PROCESS_MS);

/** What the files occupy: blocks on the disk, and not less than their lengths. */
function journalBytes(slot: number): number {
  const folder = path.join(cluster.nodeFolder(slot), 'journal');
  let total = 0;
  for (const name of fs.readdirSync(folder)) {
    // A file may be let go between the listing and the look at it.
    const stat = fs.statSync(path.join(folder, name), { throwIfNoEntry: false });
    if (stat !== undefined) total += Math.max(stat.size, stat.blocks * 512);
  }
  return total;
}

describe('a 16 MiB object', () => {
  it(`leaves the disks bounded after ${OVERWRITES} overwrites, and is the last one written`, async () => {
    const client = cluster.client();
    await client.send(new CreateBucketCommand({ Bucket }));
    let highest = 0;
    for (let round = 0; round <= OVERWRITES; round += 1) {
      await client.send(new PutObjectCommand({ Bucket, Key: 'again', Body: contentOf(`round ${round}`, OBJECT_BYTES) }));
      highest = Math.max(highest, ...cluster.endpoint.nodes.map(({ slot }) => journalBytes(slot)));
    }
    const started = performance.now();
    for (const { slot } of cluster.endpoint.nodes) {
      for (;;) {
        const status = (await cluster.status())[slot];
        const superseded = status?.['superseded'];
        const liveBytes = status?.liveBytes;
        const bytes = journalBytes(slot);
        if (superseded === 0 && liveBytes !== undefined && liveBytes < LIVE_BYTES_MAX && bytes < JOURNAL_BYTES_MAX) break;
        const told = `node ${slot} occupies ${bytes} bytes, allowed are ${JOURNAL_BYTES_MAX}; live: ${liveBytes}, allowed are ${LIVE_BYTES_MAX}; superseded: ${String(superseded)}`;
        expect(performance.now() - started, told).toBeLessThan(COLLECTED_WITHIN_MS);
        await new Promise((resolve) => setTimeout(resolve, STEP_MS));
      }
    }
    const live = (await cluster.status()).map((status) => status?.liveBytes ?? 0);
    const after = cluster.endpoint.nodes.map(({ slot }) => journalBytes(slot));
    const mib = (bytes: number): number => Math.round(bytes / MIB);
    const seconds = Math.round((performance.now() - started) / 1000);
    console.log(`overwrite: ${JSON.stringify({ overwrites: OVERWRITES, highestMiB: mib(highest), afterMiB: after.map(mib), liveMiB: live.map(mib), collectedAfterS: seconds })}`);
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: 'again' }));
    const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
    expect(bytes.equals(contentOf(`round ${OVERWRITES}`, OBJECT_BYTES))).toBe(true);
    client.destroy();
  }, 10 * PROCESS_MS);
});
