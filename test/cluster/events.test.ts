/**
 * Events and lifecycle of a gateway as a process: a receiver that is a real HTTP server, gone for a while and
 * back again, and a gateway that is killed between what it acknowledged and what it told.
 */
import { createHmac } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LiveCluster, PROCESS_MS } from '../show/live-cluster.ts';
import { runCommand, until } from './programs.ts';

interface Told {
  readonly eventName: string;
  readonly s3: { readonly object: { readonly key: string; readonly size?: number; readonly sequencer: string } };
}

/** Takes events, or refuses them as long as it is told to. */
class Receiver {
  readonly told: Told[] = [];
  readonly forged: string[] = [];
  isDown = false;
  refused = 0;
  secret = '';
  readonly #server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => (body += piece.toString()));
    request.on('end', () => {
      if (this.isDown) {
        this.refused += 1;
        response.writeHead(503).end();
        return;
      }
      const [, time = '', signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['x-holdfast-signature'])) ?? [];
      const expected = createHmac('sha256', this.secret).update(`${time}.${body}`).digest('hex');
      if (signature !== expected) this.forged.push(body);
      this.told.push(...(JSON.parse(body) as { Records: Told[] }).Records);
      response.writeHead(204).end();
    });
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/events`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  names(): readonly string[] {
    return this.told.map(({ eventName, s3 }) => `${eventName} ${s3.object.key}`);
  }
}

describe('a gateway that tells a webhook', () => {
  let cluster: LiveCluster;
  const receiver = new Receiver();
  const Bucket = 'told';
  const client = () => cluster.client({ maxAttempts: 1 });
  const put = (Key: string) => client().send(new PutObjectCommand({ Bucket, Key, Body: 'content' }));

  beforeAll(async () => {
    cluster = await LiveCluster.start('events');
    const url = await receiver.start();
    const added = await runCommand('webhook', 'add', 'hook', url, '--dir', cluster.dir, '--json');
    expect(added, added.stderr).toMatchObject({ code: 0 });
    receiver.secret = (JSON.parse(added.stdout) as { secret: string }).secret;
    const refused = await runCommand('webhook', 'add', 'open', 'http://example.com/', '--dir', cluster.dir);
    expect(refused).toMatchObject({ code: 2 });
    await client().send(new CreateBucketCommand({ Bucket }));
    const NotificationConfiguration = {
      QueueConfigurations: [
        { QueueArn: 'arn:holdfast:sqs::hook:webhook', Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*', 's3:ObjectTagging:*'] as never[] },
      ],
    };
    // The running gateway sees the new webhook within a second.
    await until('the webhook may be named', async () => {
      const named = client().send(new PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration }));
      return named.then(() => true, () => false);
    }, 10_000);
  }, PROCESS_MS);

  afterAll(async () => {
    receiver.stop();
    await cluster.end();
  }, PROCESS_MS);

  it('tells of every kind of change, signed and in order', async () => {
    await put('a');
    await client().send(new CopyObjectCommand({ Bucket, Key: 'b', CopySource: `${Bucket}/a` }));
    const Tagging = { TagSet: [{ Key: 'k', Value: 'v' }] };
    await client().send(new PutObjectTaggingCommand({ Bucket, Key: 'a', Tagging }));
    const { UploadId } = await client().send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts' }));
    const { ETag } = await client().send(new UploadPartCommand({ Bucket, Key: 'parts', UploadId, PartNumber: 1, Body: 'part' }));
    await client().send(new CompleteMultipartUploadCommand({ Bucket, Key: 'parts', UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }));
    await client().send(new DeleteObjectCommand({ Bucket, Key: 'b' }));
    await client().send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }));
    await client().send(new DeleteObjectCommand({ Bucket, Key: 'a' }));
    const expected = ['ObjectCreated:Put a', 'ObjectCreated:Copy b', 'ObjectTagging:Put a', 'ObjectCreated:CompleteMultipartUpload parts', 'ObjectRemoved:Delete b', 'ObjectRemoved:DeleteMarkerCreated a'];
    await until('all is told', () => receiver.told.length >= expected.length, 20_000);
    expect(receiver.names()).toEqual(expected);
    expect(receiver.told.map(({ s3 }) => s3.object.size)).toEqual([7, 7, undefined, 4, undefined, undefined]);
    const sequencers = receiver.told.map(({ s3 }) => s3.object.sequencer);
    expect([...sequencers].sort()).toEqual(sequencers);
    expect(receiver.forged).toEqual([]);
  }, PROCESS_MS);

  it('tells what it acknowledged also when the receiver is down, and it is killed before it could tell', async () => {
    receiver.isDown = true;
    receiver.told.length = 0;
    const keys = Array.from({ length: 12 }, (_, i) => `kept ${i}`);
    for (const key of keys) await put(key);
    await until('it has tried', () => receiver.refused > 0, 20_000);
    cluster.killGateway();
    receiver.isDown = false;
    await until('all is told', () => new Set(receiver.names()).size >= keys.length, 60_000);
    expect(new Set(receiver.names())).toEqual(new Set(keys.map((key) => `ObjectCreated:Put ${key.replace(' ', '+')}`)));
    // In order of arrival, each at least once.
    const firsts = [...new Set(receiver.names())];
    expect(firsts).toEqual(keys.map((key) => `ObjectCreated:Put ${key.replace(' ', '+')}`));
    expect(receiver.forged).toEqual([]);
  }, PROCESS_MS);

  it('has no receiver any more once the operator has removed it', async () => {
    expect(await runCommand('webhook', 'remove', 'hook', '--dir', cluster.dir)).toMatchObject({ code: 0 });
    expect((await runCommand('webhook', 'list', '--dir', cluster.dir)).stdout).toContain('no webhooks');
    receiver.told.length = 0;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await put('after');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(receiver.told).toEqual([]);
  }, PROCESS_MS);
});
