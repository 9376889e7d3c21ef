/** The command line's client against the S3 front in a real HTTP listener, over a store in memory. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACCESS_KEY, SECRET_KEY, startS3World } from '../gateway/s3/s3-world.contract.ts';
import type { S3World } from '../gateway/s3/s3-world.contract.ts';
import { S3Client } from './s3-client.ts';
import type { RepeatableBody } from './s3-client.ts';

const credentials = { region: 'us-east-1', accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY };

/** `bytes` in pieces of odd sizes. */
function bodyOf(bytes: Uint8Array, announced: number = bytes.length): RepeatableBody {
  return {
    size: announced,
    async *open() {
      for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7 + 3) % 400_000) {
        if (step === 0) step = 1;
        yield bytes.subarray(at, at + step);
      }
    },
  };
}

async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

function pattern(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8)) % 256);
}

describe('the S3 client', () => {
  let world: S3World;
  let client: S3Client;
  beforeAll(async () => {
    world = await startS3World();
    client = new S3Client({ endpoint: world.server.origin, ...credentials });
    await client.createBucket('bucket');
  });
  afterAll(async () => {
    client.close();
    await world.close();
  });

  it.each([0, 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 3_500_000])('brings %d bytes there and back', async (size) => {
    const bytes = pattern(size);
    const etag = await client.put('bucket', `size ${size}`, bodyOf(bytes), 'text/plain');
    const { head, body } = await client.get('bucket', `size ${size}`);
    expect(head).toMatchObject({ size, etag, contentType: 'text/plain' });
    expect((await read(body)).equals(bytes)).toBe(true);
  });

  it.each(['a/b//c', 'ä + % & ?', "quote'(*)!", '.hidden', 'trailing/'])('keeps the key %s as it is', async (key) => {
    await client.put('bucket', key, bodyOf(pattern(10)), 'text/plain');
    expect((await client.head('bucket', key)).size).toBe(10);
    const keys: string[] = [];
    for await (const page of client.list('bucket', key, undefined)) keys.push(...page.objects.map((object) => object.key));
    expect(keys).toEqual([key]);
    await client.remove('bucket', key);
    await expect(client.head('bucket', key)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('lists one level at a time, and all pages', async () => {
    await client.createBucket('pages');
    for (let i = 0; i < 5; i += 1) await client.put('pages', `f/${i}`, bodyOf(pattern(1)), 'text/plain');
    await client.put('pages', 'top', bodyOf(pattern(1)), 'text/plain');
    const pages = [];
    for await (const page of client.list('pages', '', '/')) pages.push(page);
    expect(pages.flatMap((page) => page.prefixes)).toEqual(['f/']);
    expect(pages.flatMap((page) => page.objects.map((object) => object.key))).toEqual(['top']);
    expect((await client.buckets()).map((bucket) => bucket.name)).toContain('pages');
  });

  it('says what went wrong in the codes of Holdfast', async () => {
    await expect(client.get('bucket', 'nothing')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(client.put('no-such-bucket', 'k', bodyOf(pattern(5)), 'text/plain')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(client.removeBucket('bucket')).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    const stranger = new S3Client({ endpoint: world.server.origin, ...credentials, secretAccessKey: 'wrong' });
    await expect(stranger.head('bucket', 'k')).rejects.toMatchObject({ code: 'UNAUTHENTIC' });
    stranger.close();
  });

  it('stores nothing when the file is shorter or longer than it was announced', async () => {
    for (const announced of [2_000_000, 4_000_000]) {
      const body = bodyOf(pattern(3_000_000), announced);
      await expect(client.put('bucket', 'changed', body, 'text/plain')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
      await expect(client.head('bucket', 'changed')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
  });
});

describe('an endpoint that does not keep its word', () => {
  async function against(answer: http.RequestListener, work: (client: S3Client) => Promise<void>): Promise<void> {
    const server = http.createServer(answer);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const client = new S3Client({ endpoint: `http://127.0.0.1:${port}`, ...credentials }, 2);
    try {
      await work(client);
    } finally {
      client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  it('is caught when the content does not match its checksum', () =>
    against(
      (_, response) => response.writeHead(200, { 'content-length': '5', 'x-amz-checksum-crc32': 'AAAAAA==' }).end('hello'),
      async (client) => {
        const { body } = await client.get('b', 'k');
        await expect(read(body)).rejects.toMatchObject({ code: 'DAMAGED' });
      },
    ));

  it('is caught when the content breaks off', () =>
    against(
      (_, response) => {
        response.writeHead(200, { 'content-length': '10' }).write('hello', () => response.destroy());
      },
      async (client) => {
        const { body } = await client.get('b', 'k');
        await expect(read(body)).rejects.toMatchObject({ code: 'DISCONNECTED' });
      },
    ));

  it('is asked again under the same invocation id while it is not available', async () => {
    const seen: (string | undefined)[] = [];
    await against(
      (request, response) => {
        seen.push(String(request.headers['amz-sdk-invocation-id']));
        response.writeHead(503).end('<Error><Code>SlowDown</Code><Message>later</Message></Error>');
      },
      async (client) => {
        await expect(client.remove('b', 'k')).rejects.toMatchObject({ code: 'NO_QUORUM' });
      },
    );
    expect(seen).toHaveLength(2);
    expect(new Set(seen).size).toBe(1);
  });

  it('is unreachable when nobody listens', async () => {
    const client = new S3Client({ endpoint: 'http://127.0.0.1:1', ...credentials }, 1);
    await expect(client.head('b', 'k')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    client.close();
  });
});
