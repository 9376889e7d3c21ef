/**
 * The clients of a run: each does its steps through the gateways, sends again what was cut off, and writes
 * down what it was told. Contents name the write that they belong to, so that every byte read is recognised.
 */
import { compare, fromHex, hex, utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { WriteCondition } from '../gateway/s3/port/objects.ts';
import { BucketKeys } from '../keyring/bucket-keys.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import type { Operation, Value } from './checkers/linearizability.ts';
import { Contents, md5 } from './contents.ts';
import { AGAIN_MS, ATTEMPTS, bytesOf, FIRST_GENERATION, LIST_ROWS_MAX, noCounts, operationId, OWNER } from './requests.ts';
import type { Counts } from './requests.ts';
import type { Step, StepCondition } from './scenario.ts';
import { ROOT_SECRET } from './simulated-cluster.ts';
import type { SimulatedCluster } from './simulated-cluster.ts';
import type { Trace } from './trace.ts';
import { sendComplete, sendCopy, sendDelete, sendPut } from './write-requests.ts';
import type { SendWrite, Target, WriteOutcome } from './write-requests.ts';

export const BUCKET = 'simulated';

const NEW_BUCKET = { bucket: BUCKET, owner: OWNER, lockEnabled: false, documents: {} } as const;
/** What a conditional write takes the place of. */
interface Expected {
  readonly value: Value;
  readonly condition: WriteCondition;
}

/** One write as the history knows it. */
interface Write {
  readonly name: string;
  readonly key: number;
  readonly gateway: number;
  readonly value: Value;
  /** For the timeline. */
  readonly what: string;
  readonly send: SendWrite;
  readonly expected: Expected | undefined;
  /** Is the value its own, and nobody's if it is refused? */
  readonly isOwn: boolean;
}

export class Clients {
  readonly #cluster: SimulatedCluster;
  readonly #isSerialised: boolean;
  readonly #trace: Trace;
  readonly #clock: Clock;
  readonly #contents = new Contents();
  readonly histories: readonly Operation[][];
  readonly counts: Counts = noCounts();
  /** What must not be: bytes that nobody wrote, values of writes that were refused. */
  readonly broken: string[] = this.#contents.broken;
  /** Key → requests that may have taken effect. */
  readonly attempted: number[];
  readonly #refused = new Set<string>();
  /** A total order of everything that clients see, finer than the clock. */
  #tick = 0;

  constructor(cluster: SimulatedCluster, trace: Trace, keys: number, isSerialised: boolean) {
    this.#isSerialised = isSerialised;
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

  /** How many requests of clients one `readAll` is. */
  get readsOfAll(): number {
    return this.histories.length + 1;
  }

  /** Deletes every key, through the first gateway. */
  async deleteAll(name: string): Promise<void> {
    for (const key of this.histories.keys()) await this.#delete(`${name}.${key}`, { key, gateway: 0 });
    await this.#cluster.ask(0, ({ store }) => abortUploads(store, name));
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
      const asked = await this.#cluster.ask(0, (gateway) => gateway.store.createBucket({ ...NEW_BUCKET, serialised: this.#isSerialised, operation: id }).catch(() => null));
      if (asked.kind === 'done' && asked.value?.outcome === 'created') return;
      await this.#clock.sleep(AGAIN_MS);
    }
  }

  async #act(name: string, step: Step): Promise<void> {
    switch (step.act) {
      case 'put':
      case 'complete':
        return this.#put(name, step);
      case 'copy':
        return this.#copy(name, step);
      case 'delete':
        return this.#delete(name, step);
      case 'list':
        await this.#list(name, step.gateway);
        return;
      case 'get':
      case 'head':
        await this.#read(name, step.act, step.key, step.gateway);
    }
  }

  async #put(name: string, step: Extract<Step, { act: 'put' | 'complete' }>): Promise<void> {
    const { act, key, size, gateway } = step;
    const expected = await this.#expected(name, step);
    if (expected === null) return;
    const bytes = this.#contents.make(name, size);
    const target = targetOf(name, key);
    const etag = `${md5(bytes)}-2`;
    if (act === 'complete') this.#contents.name(etag, name);
    const send = act === 'put' ? sendPut(target, bytes) : sendComplete(target, bytes, etag);
    await this.#write({ name, key, gateway, value: name, what: `${act === 'put' ? 'PUT' : 'upload'} of ${bytes.length} bytes to`, send, expected, isOwn: true });
  }

  async #copy(name: string, step: Extract<Step, { act: 'copy' }>): Promise<void> {
    const { key, source, gateway } = step;
    const seen = await this.#look(`${name}.source`, source, gateway);
    const expected = await this.#expected(name, step);
    if (seen === undefined || seen.value === null || seen.etag === undefined || expected === null) return;
    const send = sendCopy(targetOf(name, key), Clients.keyName(source), seen.etag);
    await this.#write({ name, key, gateway, value: seen.value, what: `copy of ${seen.value} from ${Clients.keyName(source)} to`, send, expected, isOwn: false });
  }

  async #delete(name: string, step: { readonly key: number; readonly gateway: number; readonly condition?: 'seen' }): Promise<void> {
    const { key, gateway } = step;
    const expected = await this.#expected(name, step);
    if (expected === null) return;
    await this.#write({ name, key, gateway, value: null, what: 'DELETE', send: sendDelete(targetOf(name, key)), expected, isOwn: true });
  }

  /** What the write is to take the place of; undefined: anything; null: there is nothing to write on. */
  async #expected(name: string, { key, gateway, condition }: { readonly key: number; readonly gateway: number; readonly condition?: StepCondition }): Promise<Expected | undefined | null> {
    if (condition === undefined) return undefined;
    if (condition === 'absent') return { value: null, condition: { ifNoneMatch: '*' } };
    const seen = await this.#look(`${name}.look`, key, gateway);
    return seen === undefined || seen.value === null || seen.etag === undefined ? null : { value: seen.value, condition: { ifMatch: seen.etag } };
  }

  /** A HEAD. Undefined: it failed. */
  async #look(name: string, key: number, gateway: number): Promise<{ readonly value: Value; readonly etag: string | undefined } | undefined> {
    const tags: string[] = [];
    if (!(await this.#read(name, 'head', key, gateway, tags))) return undefined;
    const [etag] = tags;
    return { value: etag === undefined ? null : this.#contents.byTag(etag), etag };
  }

  async #write({ name, key, gateway, value, what, send, expected, isOwn }: Write): Promise<void> {
    const from = this.#begin(name, `${what} ${Clients.keyName(key)} via ${gateway}`);
    let outcome = 'void' as WriteOutcome;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (attempt > 0) {
        this.counts.resent += 1;
        await this.#clock.sleep(AGAIN_MS);
      }
      const asked = await this.#cluster.ask(gateway, (g) => send(g, expected?.condition));
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
      if (value !== null && isOwn) this.#refused.add(value);
      if (outcome === 'declined' && expected !== undefined && !this.#contents.hasTwoTags(expected.value)) this.histories[key]?.push({ kind: 'differs', value: expected.value, from, to });
      if (outcome === 'nothing-there') this.histories[key]?.push({ kind: 'read', value: null, from, to });
      return;
    }
    this.attempted[key] = (this.attempted[key] ?? 0) + 1;
    const swap = expected === undefined ? {} : { expects: expected.value };
    this.histories[key]?.push({ kind: 'write', value, ...swap, from, to: outcome === 'done' ? to : Infinity });
  }

  /** `tags` gets the ETag that a HEAD shows. */
  async #read(name: string, act: 'get' | 'head', key: number, gateway: number, tags: string[] = []): Promise<boolean> {
    const from = this.#begin(name, `${act.toUpperCase()} ${Clients.keyName(key)} via ${gateway}`);
    const asked = await this.#cluster.ask(gateway, (g): Promise<Seen> => (act === 'get' ? getOnce(g, key) : headOnce(g, key)));
    const seen: Seen = asked.kind === 'done' ? asked.value : 'failed';
    if (seen === 'failed') {
      this.counts.failedReads += 1;
      this.#end(name, 'failed');
      return false;
    }
    this.counts.reads += 1;
    if (seen !== null && 'etag' in seen) tags.push(seen.etag);
    const value = seen === null ? null : 'etag' in seen ? this.#contents.byTag(seen.etag) : this.#contents.recognise(seen.bytes);
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
      this.#noteRead(key, etag === undefined ? null : this.#contents.byTag(etag), from, to);
    }
    return true;
  }

  #noteRead(key: number, value: Value, from: number, to: number): void {
    if (value !== null && this.#refused.has(value)) this.broken.push(`${value} was refused and is read from ${Clients.keyName(key)}`);
    this.histories[key]?.push({ kind: 'read', value, from, to });
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

/** What a read came to; null when nothing is there. */
type Seen = { readonly bytes: Uint8Array } | { readonly etag: string } | null | 'failed';

async function getOnce({ store }: Gateway, key: number): Promise<Seen> {
  try {
    const found = await store.getObject({ bucket: BUCKET, key: Clients.keyName(key), versionId: undefined, customerKey: undefined, range: undefined });
    if (found.outcome !== 'found') return found.outcome === 'no-such-key' ? null : 'failed';
    return { bytes: await bytesOf(found) };
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return 'failed';
  }
}

async function headOnce({ store }: Gateway, key: number): Promise<Seen> {
  try {
    const found = await store.headObject({ bucket: BUCKET, key: Clients.keyName(key), versionId: undefined });
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

function targetOf(name: string, key: number): Target {
  return { bucket: BUCKET, key: Clients.keyName(key), name };
}

/** What was begun and never completed. */
async function abortUploads(store: Gateway['store'], name: string): Promise<void> {
  const listing = await store.openListing(BUCKET);
  if (listing.outcome !== 'listing') return;
  for (const { key, uploadId } of await listing.uploads(new Uint8Array(0), undefined, undefined, LIST_ROWS_MAX)) {
    await store.abortUpload({ bucket: BUCKET, key, uploadId }, operationId(`${name} ${uploadId}`));
  }
}
