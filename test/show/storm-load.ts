/**
 * The load of the kill storm: writers that own their keys, readers and listers over all of them, and a record
 * of what each request was told. A write that was told 503 did not happen (docs/s3.md); one that was told
 * anything else but success may have.
 */
import { createHash } from 'node:crypto';
import { DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { KIB, MIB, contentOf } from './contents.ts';
import type { Operation, Value } from '../../src/sim/checkers/linearizability.ts';

export const BUCKET = 'storm';
/** Inline, one stripe, several stripes. */
const SIZES = [200, 200, 3_000, 60 * KIB, 60 * KIB, 900 * KIB, 3 * MIB];
const DELETED_SHARE = 0.1;
/** After a failure a client waits, as people's clients do. */
const PAUSE_MS = 100;

export interface Counts {
  acknowledged: number;
  unknown: number;
  refused: number;
  reads: number;
  failedReads: number;
  lists: number;
}

type WriteOutcome = 'acknowledged' | 'unknown' | 'refused';

interface Failure {
  readonly code?: string;
  readonly name?: string;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number };
}

export class StormLoad {
  readonly histories = new Map<string, Operation[]>();
  readonly counts: Counts = { acknowledged: 0, unknown: 0, refused: 0, reads: 0, failedReads: 0, lists: 0 };
  /** Key → writes that may have taken effect at all. */
  readonly attempted = new Map<string, number>();
  /** Contents that are not what any write of theirs sent; must stay empty. */
  readonly broken: string[] = [];
  readonly #sizes = new Map<string, number>();
  readonly #byEtag = new Map<string, string>();
  readonly #random: () => number;
  #sequence = 0;

  /** `random`: numbers in [0, 1) that decide what is done. */
  constructor(keys: readonly string[], random: () => number = Math.random) {
    this.#random = random;
    for (const key of keys) this.histories.set(key, []);
  }

  get keys(): readonly string[] {
    return [...this.histories.keys()];
  }

  async write(client: S3Client, keys: readonly string[], isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      if ((await this.writeOnce(client, this.#oneOf(keys))) !== 'acknowledged') await pause();
    }
  }

  /** Each key in turn, until one write of it is acknowledged. */
  async writeEach(client: S3Client, keys: readonly string[], isOver: () => boolean): Promise<void> {
    for (const key of keys) {
      while (!isOver() && (await this.writeOnce(client, key)) !== 'acknowledged') await pause();
    }
  }

  /** One PUT or DELETE; a refused one is no part of the history. */
  async writeOnce(client: S3Client, key: string): Promise<WriteOutcome> {
    const value = this.#random() < DELETED_SHARE ? null : `${key}#${(this.#sequence += 1)}`;
    const command = value === null ? new DeleteObjectCommand({ Bucket: BUCKET, Key: key }) : new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: this.#content(value) });
    const from = performance.now();
    const outcome = await client.send(command as PutObjectCommand).then((): WriteOutcome => 'acknowledged', outcomeOf);
    this.counts[outcome] += 1;
    if (outcome === 'refused') return outcome;
    this.attempted.set(key, (this.attempted.get(key) ?? 0) + 1);
    this.#note(key, { kind: 'write', value, from, to: outcome === 'acknowledged' ? performance.now() : Infinity });
    return outcome;
  }

  async read(client: S3Client, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      if (!(await this.readOnce(client, this.#oneOf(this.keys)))) await pause();
    }
  }

  async readOnce(client: S3Client, key: string): Promise<boolean> {
    const from = performance.now();
    let value: Value;
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
      value = this.#recognise(key, Buffer.from((await Body?.transformToByteArray()) ?? []));
    } catch (error) {
      if ((error as Failure).name !== 'NoSuchKey') {
        this.counts.failedReads += 1;
        return false;
      }
      value = null;
    }
    this.counts.reads += 1;
    this.#note(key, { kind: 'read', value, from, to: performance.now() });
    return true;
  }

  async list(client: S3Client, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      if (!(await this.listOnce(client))) await pause();
      await pause();
    }
  }

  /** A listing is a read of every key: it shows a version by its ETag. */
  async listOnce(client: S3Client): Promise<boolean> {
    const from = performance.now();
    const listed = await client.send(new ListObjectsV2Command({ Bucket: BUCKET })).catch(() => null);
    if (listed === null) return false;
    const to = performance.now();
    this.counts.lists += 1;
    const etags = new Map(listed.Contents?.map(({ Key, ETag }) => [Key, ETag]));
    for (const key of this.keys) {
      const etag = etags.get(key);
      const value = etag === undefined ? null : (this.#byEtag.get(etag) ?? `unknown ${etag}`);
      this.#note(key, { kind: 'read', value, from, to });
    }
    return true;
  }

  #oneOf<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)];
    if (item === undefined) throw new RangeError('nothing to choose from');
    return item;
  }

  #note(key: string, operation: Operation): void {
    this.histories.get(key)?.push(operation);
  }

  #content(value: string): Buffer {
    const size = this.#oneOf(SIZES);
    this.#sizes.set(value, size);
    const bytes = Buffer.concat([Buffer.from(`${value}\n`), contentOf(value, size)]);
    this.#byEtag.set(`"${createHash('md5').update(bytes).digest('hex')}"`, value);
    return bytes;
  }

  /** The value that the bytes are, every one of them compared. */
  #recognise(key: string, bytes: Buffer): string {
    const value = bytes.subarray(0, Math.max(0, bytes.indexOf(0x0a))).toString();
    const size = this.#sizes.get(value);
    if (size !== undefined && value.startsWith(`${key}#`) && bytes.subarray(value.length + 1).equals(contentOf(value, size))) return value;
    const name = `broken ${key}: ${bytes.length} bytes that begin ${bytes.subarray(0, 40).toString('latin1')}`;
    this.broken.push(name);
    return name;
  }
}

function outcomeOf(error: Failure): WriteOutcome {
  // With several attempts only the last one's answer is known.
  if ((error.$metadata?.attempts ?? 1) > 1) return 'unknown';
  return error.$metadata?.httpStatusCode === 503 || error.code === 'ECONNREFUSED' ? 'refused' : 'unknown';
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
