/**
 * A connection is cut after the gateway has the whole request and before its client has the answer; the AWS
 * SDK asks again by itself, with the same amz-sdk-invocation-id. One operation must stay one version, which is
 * read from the logs of the storage nodes: they hold an entry of every version that was ever prepared.
 */
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../cluster/programs.ts';
import { KIB, MIB, contentOf } from '../show/contents.ts';
import { LiveCluster, PROCESS_MS } from '../show/live-cluster.ts';
import { readNodeLogs } from '../show/node-logs.ts';
import type { LoggedVersions } from '../show/node-logs.ts';
import { IS_SLOW } from '../slow.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import type { Instruction } from './cutting-proxy.ts';

const Bucket = 'retries';
const CUTS: readonly Instruction[] = [{ cut: 'before answer' }, { cut: 'after request' }];
/** A put of 3 MiB takes about 100 ms. */
const KILLED_AFTER_MS = IS_SLOW ? [5, 10, 20, 30, 40, 50, 60, 75, 90] : [20, 50, 90];
/** By then every node that is ever told of a certificate has been. */
const SETTLED_MS = 1_000;
const SIZES = [100, 200 * KIB, 3 * MIB];

let cluster: LiveCluster;
let proxy: CuttingProxy;
let direct: S3Client;
let client: S3Client;

beforeAll(async () => {
  cluster = await LiveCluster.start('retries');
  proxy = await CuttingProxy.start(cluster.port);
  direct = cluster.client();
  client = cluster.client({ endpoint: proxy.origin });
  await direct.send(new CreateBucketCommand({ Bucket }));
}, PROCESS_MS);
afterAll(async () => {
  client.destroy();
  direct.destroy();
  await proxy.close();
  await cluster.end();
}, PROCESS_MS);

/** Waits until the logs agree about a key, because a write is acknowledged before its last slots have it. */
async function versionsOf(key: string): Promise<LoggedVersions> {
  let versions: LoggedVersions = { prepared: 0, committed: 0 };
  await until(`all that is prepared of ${key} is committed`, async () => {
    const logs = await readNodeLogs(cluster.dir, Bucket);
    expect(logs.nodes).toBeGreaterThanOrEqual(5);
    versions = logs.of(key);
    return versions.prepared === versions.committed;
  });
  return versions;
}

async function get(Key: string, by: S3Client = direct): Promise<Buffer> {
  const { Body } = await by.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

function describeRetries(state: string): void {
  for (const instruction of CUTS) {
    const cut = 'cut' in instruction ? instruction.cut : 'never';
    it.each(SIZES)(`makes one version of a put of %d bytes (cut ${cut})`, async (size) => {
      const Key = `${state} ${cut} ${size}`;
      const Body = contentOf(Key, size);
      const spent = proxy.spent;
      proxy.order(`PUT /${Bucket}/`, instruction);
      const { $metadata } = await client.send(new PutObjectCommand({ Bucket, Key, Body }));
      expect($metadata.attempts).toBe(2);
      expect(proxy.spent).toBe(spent + 1);
      expect(await versionsOf(Key)).toEqual({ prepared: 1, committed: 1 });
      expect((await get(Key)).equals(Body)).toBe(true);
    }, PROCESS_MS);

    it(`deletes once (cut ${cut})`, async () => {
      const Key = `${state} ${cut} deleted`;
      await direct.send(new PutObjectCommand({ Bucket, Key, Body: 'to be deleted' }));
      proxy.order(`DELETE /${Bucket}/`, instruction);
      const { $metadata } = await client.send(new DeleteObjectCommand({ Bucket, Key }));
      expect($metadata.attempts).toBe(2);
      expect(await versionsOf(Key)).toEqual({ prepared: 2, committed: 2 });
      await expect(get(Key)).rejects.toMatchObject({ name: 'NoSuchKey' });
    }, PROCESS_MS);

    it(`completes an upload once (cut ${cut})`, async () => {
      const Key = `${state} ${cut} upload`;
      const Body = contentOf(Key, 100 * KIB);
      const { UploadId } = await direct.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      const { ETag } = await direct.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body }));
      proxy.order(`POST /${Bucket}/`, instruction);
      const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
      const { $metadata } = await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }));
      expect($metadata.attempts).toBe(2);
      expect(await versionsOf(Key)).toEqual({ prepared: 1, committed: 1 });
      expect((await get(Key)).equals(Body)).toBe(true);
    }, PROCESS_MS);
  }

  it('makes one version each of several puts at once', async () => {
    const keys = [1, 2, 3, 4, 5, 6].map((number) => `${state} together ${number}`);
    const spent = proxy.spent;
    for (const _ of keys) proxy.order(`PUT /${Bucket}/`, CUTS[spent % 2] ?? { cut: 'before answer' });
    await Promise.all(keys.map((Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: contentOf(Key, 50 * KIB) }))));
    expect(proxy.spent).toBe(spent + keys.length);
    for (const key of keys) {
      expect(await versionsOf(key)).toEqual({ prepared: 1, committed: 1 });
      expect((await get(key)).equals(contentOf(key, 50 * KIB))).toBe(true);
    }
  }, PROCESS_MS);
}

describe('a request that the SDK sends again', () => {
  describe('with all nodes running', () => describeRetries('all'));

  describe('with one node down', () => {
    let release: () => Promise<void>;
    beforeAll(async () => {
      release = await cluster.holdDown(0);
    }, PROCESS_MS);
    afterAll(() => release(), PROCESS_MS);
    describeRetries('down');
  });

  it('is one version also when the gateway is killed at any moment of it', async () => {
    for (const afterMs of KILLED_AFTER_MS) {
      // One each: an SDK client has a quota of retries for all its requests together.
      const patient = cluster.client({ maxAttempts: 12 });
      try {
        const Key = `killed after ${afterMs} ms`;
        const Body = contentOf(Key, 3 * MIB);
        const timer = setTimeout(() => cluster.killGateway(), afterMs);
        await patient.send(new PutObjectCommand({ Bucket, Key, Body }));
        clearTimeout(timer);
        // The gateway may have been killed just after its answer: a read is as patient as the write.
        expect((await get(Key, patient)).equals(Body)).toBe(true);
        // An attempt of the killed process may have been proven void and let go of: it is prepared, never committed.
        await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
        const { committed } = (await readNodeLogs(cluster.dir, Bucket)).of(Key);
        expect([Key, committed]).toEqual([Key, 1]);
      } finally {
        patient.destroy();
      }
    }
  }, 3 * PROCESS_MS);
});
