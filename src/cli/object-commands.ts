/**
 * `put`, `get`, `ls`, `rm` and `stat`: a person's hands on the S3 door of a running cluster. The endpoint and
 * credentials come from endpoint.json of its folder. A download goes to a file aside and takes its name only
 * when all of it arrived and its checksum matched.
 */
import { createReadStream } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { OperationError, isOperationError } from '../base/errors.ts';
import { NodeDisk } from '../platform/disk.ts';
import { readAccessRegister } from './access-folder.ts';
import { listAsOf, versionAsOf } from './as-of.ts';
import { gatewayFolder } from './cluster-folder.ts';
import { readEndpoint } from './endpoint-file.ts';
import { parseObjectAddress, requireKey } from './object-address.ts';
import { S3Client } from './s3-client.ts';
import type { RepeatableBody } from './s3-client.ts';
import { formatBytes, formatTable } from './terminal.ts';
import type { Progress, Terminal } from './terminal.ts';

export interface ObjectCommandOptions {
  /** Folder of the cluster. */
  readonly dir: string;
  readonly terminal: Terminal;
}

const SINGLE_PUT_BYTES_MAX = 5 * 1024 ** 3;

async function withClient<T>(options: ObjectCommandOptions, work: (client: S3Client) => Promise<T>): Promise<T> {
  const endpoint = await readEndpoint(new NodeDisk(options.dir), options.dir);
  const client = new S3Client(endpoint);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export interface PutOptions extends ObjectCommandOptions {
  readonly makeBucket: boolean;
  readonly contentType: string;
}

export async function putCommand(source: string, target: string, options: PutOptions): Promise<void> {
  const named = parseObjectAddress(target);
  const key = named.key === '' || named.key.endsWith('/') ? named.key + path.basename(source) : named.key;
  const stat = await statFile(source);
  if (stat.size > SINGLE_PUT_BYTES_MAX) {
    throw new OperationError('TOO_LARGE', `${source} has ${formatBytes(stat.size)}; one PUT takes at most ${formatBytes(SINGLE_PUT_BYTES_MAX)}.`, {
      remedy: 'Use an S3 client with multipart uploads, such as the aws command line.',
    });
  }
  const progress = options.terminal.progress(`put ${named.bucket}/${key}`, stat.size, 'bytes');
  const body: RepeatableBody = { size: stat.size, open: () => counted(createReadStream(source), progress) };
  const etag = await withClient(options, async (client) => {
    if (options.makeBucket) await createIfMissing(client, named.bucket);
    return client.put(named.bucket, key, body, options.contentType);
  }).finally(() => progress.end());
  const fields = { bucket: named.bucket, key, size: stat.size, etag };
  options.terminal.say('stored', fields, `stored ${named.bucket}/${key} (${formatBytes(stat.size)}, etag ${etag})`);
}

async function createIfMissing(client: S3Client, bucket: string): Promise<void> {
  try {
    await client.createBucket(bucket);
  } catch (error) {
    if (!isOperationError(error, 'ALREADY_EXISTS')) throw error;
  }
}

async function statFile(source: string): Promise<{ readonly size: number }> {
  try {
    const stat = await fs.stat(source);
    if (stat.isFile()) return stat;
  } catch (error) {
    throw new OperationError('NOT_FOUND', `The file ${source} cannot be read.`, { cause: error });
  }
  throw new OperationError('BAD_ARGUMENT', `${source} is not a file.`);
}

async function* counted(source: AsyncIterable<Uint8Array>, progress: Progress): AsyncIterable<Uint8Array> {
  for await (const chunk of source) {
    yield chunk;
    progress.advance(chunk.length);
  }
}

export interface GetOptions extends ObjectCommandOptions {
  /** A date, or the file of a state root; undefined: now. */
  readonly asOf: string | undefined;
}

/** `target` is a file, a folder, `-` for standard output, or undefined for the key's last part in this folder. */
export async function getCommand(source: string, target: string | undefined, options: GetOptions): Promise<void> {
  const { bucket, key } = requireKey(source);
  const versionId = options.asOf === undefined ? undefined : await versionAsOf(bucket, key, options.asOf, options.dir);
  await withClient(options, async (client) => {
    const { head, body } = await client.get(bucket, key, versionId);
    const progress = options.terminal.progress(`get ${bucket}/${key}`, head.size, 'bytes');
    try {
      if (target === '-') {
        for await (const chunk of counted(body, progress)) await options.terminal.write(chunk);
        return;
      }
      const file = await targetFile(target, key);
      await writeAside(file, counted(body, progress));
      progress.end();
      const fields = { bucket, key, file, size: head.size, etag: head.etag };
      options.terminal.say('read', fields, `${bucket}/${key} -> ${file} (${formatBytes(head.size)})`);
    } finally {
      progress.end();
    }
  });
}

async function targetFile(target: string | undefined, key: string): Promise<string> {
  const name = path.posix.basename(key);
  if (target === undefined) return path.resolve(name);
  const isFolder = await fs.stat(target).then((stat) => stat.isDirectory(), () => target.endsWith('/'));
  return path.resolve(isFolder ? path.join(target, name) : target);
}

async function writeAside(file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await fs.mkdir(path.dirname(file), { recursive: true });
  const aside = `${file}.${process.pid}.partial`;
  const handle = await fs.open(aside, 'w');
  try {
    for await (const chunk of bytes) await handle.writeFile(chunk);
    await handle.sync();
    await handle.close();
    await fs.rename(aside, file);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await fs.rm(aside, { force: true });
    throw error;
  }
}

export interface ListOptions extends ObjectCommandOptions {
  readonly recursive: boolean;
  /** A date, or the file of a state root; undefined: now. */
  readonly asOf: string | undefined;
}

export async function lsCommand(target: string | undefined, options: ListOptions): Promise<void> {
  if (options.asOf !== undefined) return lsAsOf(target, options.asOf, options);
  await withClient(options, async (client) => {
    if (target === undefined) {
      for (const bucket of await client.buckets()) {
        options.terminal.say('bucket', bucket, `${bucket.created}  ${bucket.name}`);
      }
      return;
    }
    const { bucket, key: prefix } = parseObjectAddress(target);
    for await (const page of client.list(bucket, prefix, options.recursive ? undefined : '/')) {
      for (const folder of page.prefixes) {
        options.terminal.say('prefix', { bucket, prefix: folder }, `${''.padEnd(24)}  ${'-'.padStart(10)}  ${folder}`);
      }
      for (const object of page.objects) {
        const size = formatBytes(object.size).padStart(10);
        options.terminal.say('object', { bucket, ...object }, `${object.lastModified.padEnd(24)}  ${size}  ${object.key}`);
      }
    }
  });
}

async function lsAsOf(target: string | undefined, asOf: string, options: ObjectCommandOptions): Promise<void> {
  if (target === undefined) throw new OperationError('BAD_ARGUMENT', 'Name the bucket to be listed as of then.');
  const { bucket, key: prefix } = parseObjectAddress(target);
  await listAsOf(bucket, prefix, asOf, options);
}

/** What the newest versions of each bucket hold, and what it may hold: counted by walking its listing. */
export async function usageCommand(only: string | undefined, options: ObjectCommandOptions): Promise<void> {
  const { bucketQuotas } = await readAccessRegister(new NodeDisk(gatewayFolder(options.dir)));
  const quotas = new Map(bucketQuotas.map(({ bucket, quotaBytes }) => [bucket, quotaBytes]));
  await withClient(options, async (client) => {
    const names = only === undefined ? (await client.buckets()).map(({ name }) => name) : [only];
    for (const bucket of names) {
      let [objects, bytes] = [0, 0];
      for await (const page of client.list(bucket, '', undefined)) {
        objects += page.objects.length;
        bytes += page.objects.reduce((sum, { size }) => sum + size, 0);
      }
      const quotaBytes = quotas.get(bucket);
      const bound = quotaBytes === undefined ? 'no quota' : `of ${formatBytes(quotaBytes)}`;
      const text = `${String(objects).padStart(10)} objects  ${formatBytes(bytes).padStart(10)}  ${bound.padEnd(14)}  ${bucket}`;
      options.terminal.say('usage', { bucket, objects, bytes, quotaBytes: quotaBytes ?? null }, text);
    }
  });
}

/** Removes an object, or an empty bucket. As in S3, removing an object that does not exist succeeds. */
export async function rmCommand(target: string, options: ObjectCommandOptions): Promise<void> {
  const { bucket, key } = parseObjectAddress(target);
  await withClient(options, (client) => (key === '' ? client.removeBucket(bucket) : client.remove(bucket, key)));
  options.terminal.say('removed', { bucket, key }, `removed ${key === '' ? `bucket ${bucket}` : `${bucket}/${key}`}`);
}

export async function statCommand(target: string, options: ObjectCommandOptions): Promise<void> {
  const { bucket, key } = requireKey(target);
  const head = await withClient(options, (client) => client.head(bucket, key));
  const rows = [
    ['object', `${bucket}/${key}`],
    ['size', `${head.size} bytes (${formatBytes(head.size)})`],
    ['etag', head.etag],
    ['modified', head.lastModified],
    ['type', head.contentType],
    ...Object.entries(head.metadata).map(([name, value]) => [`meta ${name}`, value]),
  ];
  options.terminal.say('object', { bucket, key, ...head }, formatTable(rows));
}
