/**
 * The clients of a run: each does its steps through the gateways, sends again what was cut off, and writes
 * down what it was told. Contents name the write that they belong to, so that every byte read is recognised.
 */
import { compare, concat, equal, fromHex, fromUtf8, hex, utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import { incremental, sha256 } from '../crypto/primitives.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { BucketMode, WriteCondition, IncomingContent, ObjectMetadata, OperationId } from '../gateway/s3/object-store.ts';
import { BucketKeys } from '../keyring/bucket-keys.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import type { Operation, Value } from './checkers/linearizability.ts';
import type { Step } from './scenario.ts';
import { SeededRandom } from './seeded-random.ts';
import { ROOT_SECRET } from './simulated-cluster.ts';
import type { SimulatedCluster } from './simulated-cluster.ts';
import type { Trace } from './trace.ts';

export const BUCKET = 'simulated';

const NO_METADATA: ObjectMetadata = {
  contentType: undefined,
  cacheControl: undefined,
  contentDisposition: undefined,
  contentEncoding: undefined,
  contentLanguage: undefined,
  expires: undefined,
  user: [],
};
/** A client whose connection was cut sends the request again, as the SDKs do. */
const ATTEMPTS = 3;
const AGAIN_MS = 400;
const CHUNK_BYTES = 64 * 1024;
const LIST_ROWS_MAX = 1_000;
const FIRST_GENERATION = 1;

export interface Counts {
  acknowledged: number;
  unknown: number;
  refused: number;
  reads: number;
  failedReads: number;
  lists: number;
  resent: number;
  declined: number;
}

/**
 * What a request for a write came to. `void`: it was refused, and nothing of it may ever be seen; `declined`,
 * `nothing-there`: so was its condition.
 */
type WriteOutcome = 'done' | 'unknown' | 'void' | 'declined' | 'nothing-there';

/** What a conditional write takes the place of. */
interface Expected {
  readonly value: Value;
  readonly condition: WriteCondition;
}

export class Clients {
  readonly #cluster: SimulatedCluster;
  readonly #mode: BucketMode;
  readonly #trace: Trace;
  readonly #clock: Clock;
  readonly histories: readonly Operation[][];
  readonly counts: Counts = { acknowledged: 0, unknown: 0, refused: 0, reads: 0, failedReads: 0, lists: 0, resent: 0, declined: 0 };
  /** What must not be: bytes that nobody wrote, values of writes that were refused. */
  readonly broken: string[] = [];
  /** Key → requests that may have taken effect. */
  readonly attempted: number[];
  readonly #contents = new Map<string, Uint8Array>();
  readonly #byEtag = new Map<string, string>();
  readonly #etags = new Map<string, string>();
  readonly #refused = new Set<string>();
  /** A total order of everything that clients see, finer than the clock. */
  #tick = 0;

  constructor(cluster: SimulatedCluster, trace: Trace, keys: number, mode: BucketMode) {
    this.#mode = mode;
    this.#cluster = cluster;
    this.#trace = trace;
    this.#clock = cluster.clock;
    this.histories = Array.from({ length: keys }, () => []);
    this.attempted = Array.from({ length: keys }, () => 0);
  }

  static keyName(key: number): string {
    return `key ${key}`;
  }

  async run(name: string, steps: readonly Step[]): Promise<void> {
    for (const [index, step] of steps.entries()) {
      await this.#clock.sleep(step.thinkMs);
      await this.#act(`${name}.${index}`, step);
    }
  }

  /** One read of every key by GET, and one listing, through one gateway; false when some could not be read. */
  async readAll(name: string, gateway: number): Promise<boolean> {
    let complete = true;
    for (const key of this.histories.keys()) complete = (await this.#read(`${name}.${key}`, 'get', key, gateway)) && complete;
    return (await this.#list(`${name}.list`, gateway)) && complete;
  }

  /** The certificate of the first key that the node of a slot holds one of. */
  async someCertificate(slot: number): Promise<Uint8Array | null> {
    for (const name of this.attemptedKeys().keys()) {
      const cert = await this.#cluster.certificateOn(slot, fromHex(name));
      if (cert !== null) return cert;
    }
    return null;
  }

  /** Names of the keys as nodes know them, with how many operations may have taken effect on each. */
  attemptedKeys(): ReadonlyMap<string, number> {
    const owner = new OwnerKeys(ROOT_SECRET);
    const bucketId = owner.bucketId(BUCKET);
    const keys = new BucketKeys(bucketId, FIRST_GENERATION, owner.firstSecrets(bucketId, FIRST_GENERATION));
    return new Map(this.attempted.map((count, key) => [hex(keys.objectKeyId(Clients.keyName(key))), count]));
  }

  async createBucket(): Promise<void> {
    for (;;) {
      const id = { id: sha256(utf8('create the bucket')), repeatable: true };
      const asked = await this.#cluster.ask(0, (gateway) => gateway.store.createBucket(BUCKET, id, this.#mode).catch(() => null));
      if (asked.kind === 'done' && asked.value?.outcome === 'created') return;
      await this.#clock.sleep(AGAIN_MS);
    }
  }

  async #act(name: string, step: Step): Promise<void> {
    switch (step.act) {
      case 'put':
        return this.#put(name, step);
      case 'delete':
        return this.#write(name, step.key, null, step.gateway);
      case 'list':
        await this.#list(name, step.gateway);
        return;
      case 'get':
      case 'head':
        await this.#read(name, step.act, step.key, step.gateway);
    }
  }

  async #put(name: string, { key, size, gateway, condition }: Extract<Step, { act: 'put' }>): Promise<void> {
    if (condition === undefined) return this.#write(name, key, size, gateway);
    if (condition === 'absent') {
      return this.#write(name, key, size, gateway, { value: null, condition: { ifNoneMatch: '*' } });
    }
    const value = await this.#look(`${name}.look`, key, gateway);
    if (value === undefined || value === null) return;
    const etag = this.#etags.get(value);
    if (etag !== undefined) await this.#write(name, key, size, gateway, { value, condition: { ifMatch: etag } });
  }

  /** A HEAD. Undefined: it failed. */
  async #look(name: string, key: number, gateway: number): Promise<Value | undefined> {
    const before = this.histories[key]?.length ?? 0;
    if (!(await this.#read(name, 'head', key, gateway))) return undefined;
    return this.histories[key]?.slice(before).findLast(({ kind }) => kind === 'read')?.value;
  }

  async #write(name: string, key: number, size: number | null, gateway: number, expected?: Expected): Promise<void> {
    const value: Value = size === null ? null : name;
    const bytes = size === null ? null : this.#content(name, size);
    const operation: OperationId = { id: sha256(utf8(`operation ${name}`)), repeatable: true };
    const from = this.#begin(name, `${size === null ? 'DELETE' : `PUT of ${bytes?.length ?? 0} bytes to`} ${Clients.keyName(key)} via ${gateway}`);
    let outcome = 'void' as WriteOutcome;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (attempt > 0) {
        this.counts.resent += 1;
        await this.#clock.sleep(AGAIN_MS);
      }
      const asked = await this.#cluster.ask(gateway, (g) => writeOnce(g, key, bytes, operation, expected?.condition));
      // Once something may have happened, a later refusal says nothing about it.
      const told: WriteOutcome = asked.kind === 'cut' ? (asked.begun ? 'unknown' : 'void') : asked.value;
      // A condition that fails after something may have happened may have failed on that.
      const isRefusal = told === 'void' || told === 'declined' || told === 'nothing-there';
      outcome = isRefusal && outcome === 'unknown' ? outcome : told;
      if (outcome !== 'unknown' && outcome !== 'void') break;
    }
    const to = this.#end(name, outcome);
    const names = { done: 'acknowledged', unknown: 'unknown', void: 'refused', declined: 'declined', 'nothing-there': 'declined' } as const;
    this.counts[names[outcome]] += 1;
    if (outcome !== 'done' && outcome !== 'unknown') {
      if (value !== null) this.#refused.add(value);
      if (outcome === 'declined' && expected !== undefined) this.histories[key]?.push({ kind: 'differs', value: expected.value, from, to });
      if (outcome === 'nothing-there') this.histories[key]?.push({ kind: 'read', value: null, from, to });
      return;
    }
    this.attempted[key] = (this.attempted[key] ?? 0) + 1;
    const swap = expected === undefined ? {} : { expects: expected.value };
    this.histories[key]?.push({ kind: 'write', value, ...swap, from, to: outcome === 'done' ? to : Infinity });
  }

  async #read(name: string, act: 'get' | 'head', key: number, gateway: number): Promise<boolean> {
    const from = this.#begin(name, `${act.toUpperCase()} ${Clients.keyName(key)} via ${gateway}`);
    const asked = await this.#cluster.ask(gateway, (g): Promise<Seen> => (act === 'get' ? getOnce(g, key) : headOnce(g, key)));
    const seen: Seen = asked.kind === 'done' ? asked.value : 'failed';
    if (seen === 'failed') {
      this.counts.failedReads += 1;
      this.#end(name, 'failed');
      return false;
    }
    this.counts.reads += 1;
    const value = seen === null ? null : 'etag' in seen ? this.#byTag(seen.etag) : this.#recognise(seen.bytes);
    const to = this.#end(name, value ?? 'nothing there');
    this.#noteRead(key, value, from, to);
    return true;
  }

  async #list(name: string, gateway: number): Promise<boolean> {
    const from = this.#begin(name, `LIST via ${gateway}`);
    const asked = await this.#cluster.ask(gateway, listOnce);
    const rows = asked.kind === 'done' ? asked.value : null;
    if (rows === null) {
      this.counts.failedReads += 1;
      this.#end(name, 'failed');
      return false;
    }
    this.counts.lists += 1;
    const to = this.#end(name, `${rows.size} rows`);
    for (const key of this.histories.keys()) {
      const etag = rows.get(Clients.keyName(key));
      this.#noteRead(key, etag === undefined ? null : this.#byTag(etag), from, to);
    }
    return true;
  }

  #noteRead(key: number, value: Value, from: number, to: number): void {
    if (value !== null && this.#refused.has(value)) this.broken.push(`${value} was refused and is read from ${Clients.keyName(key)}`);
    this.histories[key]?.push({ kind: 'read', value, from, to });
  }

  #content(name: string, size: number): Uint8Array {
    const bytes = concat(utf8(`${name}\n`), filling(name, size));
    this.#contents.set(name, bytes);
    this.#byEtag.set(md5(bytes), name);
    this.#etags.set(name, md5(bytes));
    return bytes;
  }

  #byTag(etag: string): string {
    return this.#byEtag.get(etag) ?? this.#unknown(`a version with ETag ${etag}`);
  }

  #recognise(bytes: Uint8Array): string {
    const name = fromUtf8(bytes.subarray(0, Math.max(0, bytes.indexOf(0x0a))));
    const expected = this.#contents.get(name);
    return expected !== undefined && equal(expected, bytes) ? name : this.#unknown(`${bytes.length} bytes that nobody wrote`);
  }

  #unknown(what: string): string {
    this.broken.push(`${what} were read`);
    return what;
  }

  #begin(name: string, what: string): number {
    this.#trace.note(`client ${name}`, what);
    return (this.#tick += 1);
  }

  #end(name: string, what: string): number {
    this.#trace.note(`client ${name}`, `-> ${what}`);
    return (this.#tick += 1);
  }
}

async function writeOnce(
  { store }: Gateway,
  key: number,
  bytes: Uint8Array | null,
  operation: OperationId,
  condition: WriteCondition | undefined,
): Promise<WriteOutcome> {
  try {
    const name = Clients.keyName(key);
    const result =
      bytes === null
        ? await store.deleteObject(BUCKET, name, operation)
        : await store.putObject({ bucket: BUCKET, key: name, content: incoming(bytes), metadata: NO_METADATA, condition, operation });
    if (result.outcome === 'unknown') return 'unknown';
    if (result.outcome === 'condition-failed') return 'declined';
    if (result.outcome === 'no-such-key') return 'nothing-there';
    return result.outcome === 'no-such-bucket' ? 'void' : 'done';
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return 'void';
  }
}

/** What a read came to; null when nothing is there. */
type Seen = { readonly bytes: Uint8Array } | { readonly etag: string } | null | 'failed';

async function getOnce({ store }: Gateway, key: number): Promise<Seen> {
  try {
    const found = await store.getObject({ bucket: BUCKET, key: Clients.keyName(key), range: undefined });
    if (found.outcome !== 'found') return found.outcome === 'no-such-key' ? null : 'failed';
    const chunks: Uint8Array[] = [];
    // A chunk may be used again once the next one is asked for.
    for await (const chunk of found.read({ from: 0, to: found.info.size })) chunks.push(chunk.slice());
    return { bytes: concat(...chunks) };
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return 'failed';
  }
}

async function headOnce({ store }: Gateway, key: number): Promise<Seen> {
  try {
    const found = await store.headObject(BUCKET, Clients.keyName(key));
    if (found.outcome === 'found') return { etag: found.info.etag };
    return found.outcome === 'no-such-key' ? null : 'failed';
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return 'failed';
  }
}

/** ETags by key, or null when it failed. */
async function listOnce({ store }: Gateway): Promise<ReadonlyMap<string, string> | null> {
  try {
    const listing = await store.openListing(BUCKET);
    if (listing.outcome !== 'listing') return null;
    const rows = await listing.rows(new Uint8Array(0), undefined, LIST_ROWS_MAX);
    const keys = rows.map(({ key }) => utf8(key));
    if (keys.some((key, at) => at > 0 && compare(keys[at - 1] ?? key, key) >= 0)) throw new Error('the rows are out of order');
    return new Map(rows.map(({ key, etag }) => [key, etag]));
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return null;
  }
}

function incoming(bytes: Uint8Array): IncomingContent {
  let isRead = false;
  async function* chunks(): AsyncGenerator<Uint8Array, void> {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield await Promise.resolve(bytes.slice(at, at + CHUNK_BYTES));
    isRead = true;
  }
  return {
    size: bytes.length,
    bytes: chunks(),
    seal: () => {
      if (!isRead) throw new Error('sealed before the content ended');
      return { etag: md5(bytes), checksum: undefined };
    },
  };
}

function md5(bytes: Uint8Array): string {
  const state = incremental('md5');
  state.update(bytes);
  return hex(state.digest());
}

/** Bytes that follow from a name. */
function filling(name: string, size: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = 1 + new SeededRandom(name).below(1 << 30);
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}
