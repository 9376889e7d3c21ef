/**
 * Clients of a bucket that keeps versions, under object lock where the run is about that. They write, mark as
 * deleted, remove by id, read and list through any gateway, and write down what they were told for
 * checkers/versions.ts.
 */
import { utf8, hex } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { OperationId } from '../gateway/s3/port/content.ts';
import type { AttributesChange, Retention } from '../gateway/s3/port/objects.ts';
import { stampOfId } from '../gateway/version-id.ts';
import { BucketKeys } from '../keyring/bucket-keys.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { compareStamps } from '../protocol/stamp.ts';
import type { Stamp } from '../protocol/stamp.ts';
import { judgeVersions, lockedAt } from './checkers/versions.ts';
import type { ListedVersion, VersionEvent, VersionValue } from './checkers/versions.ts';
import { Contents, incoming } from './contents.ts';
import { AGAIN_MS, ATTEMPTS, bytesOf, FIRST_GENERATION, LIST_ROWS_MAX, NO_ATTRIBUTES, NO_METADATA, operationId, OWNER } from './requests.ts';
import type { Counts } from './requests.ts';
import { ROOT_SECRET } from './simulated-cluster.ts';
import type { SimulatedCluster } from './simulated-cluster.ts';
import type { Trace } from './trace.ts';
import type { VersionStep } from './version-steps.ts';

export const VERSIONS_BUCKET = 'kept';

/** What a request for a change came to; `locked` and `missing` change nothing. */
type Told = 'unknown' | 'void' | 'locked' | 'missing' | { readonly id: string };

/** An event without its ticks. */
type Bare<T> = T extends VersionEvent ? Omit<T, 'from' | 'to'> : never;

export interface VersionClientsOptions {
  readonly cluster: SimulatedCluster;
  readonly trace: Trace;
  readonly keys: number;
  readonly locks: boolean;
  /** Added up here. */
  readonly counts: Counts;
}

/** A version that may not go, as its nodes know it. */
export interface LockedVersion {
  readonly key: number;
  readonly id: string;
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
}

export class VersionClients {
  readonly #options: VersionClientsOptions;
  readonly #cluster: SimulatedCluster;
  readonly #contents = new Contents();
  readonly #events: readonly VersionEvent[][];
  /** Ids of each key that somebody was shown. */
  readonly #ids: readonly Set<string>[];
  readonly #refused = new Set<string>();
  /** By key and id, as keys may have ids in common: those that were asked to be locked. */
  readonly #locked = new Map<string, LockedVersion>();
  /** Requests that may have taken effect, by key. */
  readonly #attempted: number[];
  readonly #keys: BucketKeys;
  #tick = 0;
  #isAttacked = false;

  constructor(options: VersionClientsOptions) {
    this.#options = options;
    this.#cluster = options.cluster;
    const numbers = Array.from({ length: options.keys }, (_, key) => key);
    this.#events = numbers.map(() => []);
    this.#ids = numbers.map(() => new Set());
    this.#attempted = numbers.map(() => 0);
    const owner = new OwnerKeys(ROOT_SECRET);
    const bucketId = owner.bucketId(VERSIONS_BUCKET);
    this.#keys = new BucketKeys(bucketId, FIRST_GENERATION, owner.firstSecrets(bucketId, FIRST_GENERATION));
  }

  static keyName(key: number): string {
    return `kept ${key}`;
  }

  async createBucket(): Promise<void> {
    const operation: OperationId = { id: sha256(utf8('create the bucket of versions')), repeatable: true };
    const { locks } = this.#options;
    const made = { bucket: VERSIONS_BUCKET, owner: OWNER, lockEnabled: locks, serialised: true, documents: {}, operation };
    await this.#insist((gateway) => gateway.store.createBucket(made), 'created');
    const change = { bucket: VERSIONS_BUCKET, change: { kind: 'versioning', versioning: 'enabled' }, operation: operationId('versioning') } as const;
    if (!locks) await this.#insist((gateway) => gateway.store.changeBucket(change), 'changed');
  }

  async #insist(ask: (gateway: Gateway) => Promise<{ readonly outcome: string }>, wanted: string): Promise<void> {
    for (;;) {
      const asked = await this.#cluster.ask(0, (gateway) => ask(gateway).catch(() => null));
      if (asked.kind === 'done' && asked.value?.outcome === wanted) return;
      await this.#cluster.clock.sleep(AGAIN_MS);
    }
  }

  async run(name: string, steps: readonly VersionStep[]): Promise<void> {
    for (const [index, step] of steps.entries()) {
      await this.#cluster.clock.sleep(step.thinkMs);
      await this.#act(`v${name}.${index}`, step);
    }
  }

  /** The newest version, the listing, and every version that was ever shown, of each key; false when something failed. */
  async readAll(name: string, gateway: number): Promise<boolean> {
    let complete = true;
    for (const [key, ids] of this.#ids.entries()) {
      complete = (await this.#versions(`${name}.${key}`, key, gateway)) && complete;
      complete = (await this.#newest(`${name}.${key}`, key, gateway)) && complete;
      for (const id of [...ids]) complete = (await this.#read(`${name}.${key}`, key, id, gateway)) && complete;
    }
    return complete;
  }

  /** How many requests of clients one `readAll` is. */
  get readsOfAll(): number {
    return this.#ids.reduce((sum, ids) => sum + ids.size + 2, 0);
  }

  /** Versions that somebody asked to lock, and which are not known to have gone. */
  lockedVersions(): readonly LockedVersion[] {
    return [...this.#locked.values()];
  }

  /** Those of them that may not go at this moment, on any correct node. */
  mustStay(): readonly LockedVersion[] {
    return this.#events.flatMap((events, key) => lockedAt(events, this.#cluster.clock.nowMs()).flatMap((id) => this.#locked.get(`${key} ${id}`) ?? []));
  }

  attemptedKeys(): ReadonlyMap<string, number> {
    return new Map(this.#attempted.map((count, key) => [hex(this.#keyId(key)), count]));
  }

  /** Somebody else may remove this version from now on; returns what tells the judge. */
  attacked({ key, id }: LockedVersion): void {
    this.#isAttacked = true;
    this.#attempted[key] = (this.#attempted[key] ?? 0) + 1;
    this.#events[key]?.push({ kind: 'removed', id, from: (this.#tick += 1), to: Infinity });
  }

  /** Somebody else may lift its hold from now on. */
  lifted({ key, id }: LockedVersion): void {
    this.#events[key]?.push({ kind: 'held', id, on: false, from: (this.#tick += 1), to: Infinity });
  }

  /** A thief with the owner's keys may say of a key that nothing is left, while every version is. */
  violations(): string[] {
    const compare = (a: string, b: string): number => compareStamps(stampOf(a), stampOf(b));
    const told = this.#events.map((events) => events.filter(({ kind }) => !this.#isAttacked || kind !== 'newest'));
    const judged = told.flatMap((events, key) => judgeVersions(events, compare).map((fault) => `${VersionClients.keyName(key)}: ${fault}`));
    const refused = this.#events.flatMap((events) => events.flatMap(valuesIn)).filter((value) => this.#refused.has(value));
    return [...judged, ...this.#contents.broken, ...[...new Set(refused)].map((value) => `${value} was refused and is there`)];
  }

  async #act(name: string, step: VersionStep): Promise<void> {
    const { key, gateway } = step;
    switch (step.act) {
      case 'put':
        return this.#put(name, step);
      case 'mark':
        return this.#mark(name, key, gateway);
      case 'newest':
        await this.#newest(name, key, gateway);
        return;
      case 'versions':
        await this.#versions(name, key, gateway);
        return;
      case 'read':
      case 'remove':
      case 'retain':
      case 'hold': {
        const id = this.#pick(key, step.which);
        if (id !== undefined) await this.#actOn(name, step, id);
      }
    }
  }

  async #actOn(name: string, step: Extract<VersionStep, { which: number }>, id: string): Promise<void> {
    const { key, gateway } = step;
    switch (step.act) {
      case 'read':
        await this.#read(name, key, id, gateway);
        return;
      case 'remove':
        return this.#remove(name, key, id, gateway);
      case 'retain': {
        const retention = { mode: step.retention.mode, untilMs: this.#cluster.clock.nowMs() + step.retention.forMs };
        return this.#change(name, key, id, gateway, { kind: 'retention', retention, bypassGovernance: false });
      }
      case 'hold':
        return this.#change(name, key, id, gateway, { kind: 'legalHold', legalHold: step.on });
    }
  }

  /** Of the ids that anybody was shown, from the newest to the oldest. */
  #pick(key: number, which: number): string | undefined {
    const ids = [...(this.#ids[key] ?? [])].toSorted((a, b) => compareStamps(stampOf(b), stampOf(a)));
    return ids[Math.min(ids.length - 1, Math.floor(which * ids.length))];
  }

  async #put(name: string, { key, size, lock, gateway }: Extract<VersionStep, { act: 'put' }>): Promise<void> {
    const bytes = this.#contents.make(name, size);
    const { retention: choice, hold = false } = lock ?? {};
    const retention: Retention | undefined = choice === undefined ? undefined : { mode: choice.mode, untilMs: this.#cluster.clock.nowMs() + choice.forMs };
    const attributes = { ...NO_ATTRIBUTES, retention, legalHold: hold };
    const operation = operationId(name);
    const from = this.#begin(name, `PUT of ${bytes.length} bytes to`, key, gateway);
    const told = await this.#insistently(gateway, async ({ store }): Promise<Told> => {
      const put = { bucket: VERSIONS_BUCKET, key: VersionClients.keyName(key), content: incoming(bytes), metadata: NO_METADATA, owner: OWNER, attributes, customerKey: undefined, condition: undefined, operation };
      const result = await store.putObject(put);
      if (result.outcome === 'stored') return versionOf(result.versionId);
      return result.outcome === 'unknown' ? 'unknown' : 'void';
    });
    const to = this.#end(name, told);
    this.#wrote(key, told, name, from, to);
    if (typeof told !== 'object') return;
    this.#noteRetention(key, told.id, retention, from, to);
    if (hold) this.#noteHold(key, told.id, true, from, to);
  }

  async #mark(name: string, key: number, gateway: number): Promise<void> {
    const operation = operationId(name);
    const from = this.#begin(name, 'DELETE of', key, gateway);
    const told = await this.#insistently(gateway, async ({ store }): Promise<Told> => {
      const result = await store.deleteObject({ ...address(key), versionId: undefined, owner: OWNER, condition: undefined, bypassGovernance: false, operation });
      if (result.outcome === 'deleted') return versionOf(result.versionId);
      return result.outcome === 'unknown' ? 'unknown' : 'void';
    });
    this.#wrote(key, told, null, from, this.#end(name, told));
  }

  #wrote(key: number, told: Told, value: VersionValue, from: number, to: number): void {
    if (told !== 'void') this.#attempted[key] = (this.#attempted[key] ?? 0) + 1;
    else if (value !== null) this.#refused.add(value);
    if (typeof told === 'object') this.#note(key, { kind: 'written', id: told.id, value }, from, to);
  }

  async #remove(name: string, key: number, id: string, gateway: number): Promise<void> {
    const operation = operationId(name);
    const from = this.#begin(name, `DELETE of version ${id} of`, key, gateway);
    const told = await this.#insistently(gateway, async ({ store }): Promise<Told> => {
      const result = await store.deleteObject({ ...address(key), versionId: id, owner: OWNER, condition: undefined, bypassGovernance: false, operation });
      if (result.outcome === 'deleted') return { id };
      if (result.outcome === 'locked') return 'locked';
      return result.outcome === 'unknown' ? 'unknown' : 'void';
    });
    const to = this.#end(name, told);
    if (told === 'locked' || told === 'missing' || told === 'void') return;
    this.#attempted[key] = (this.#attempted[key] ?? 0) + 1;
    if (told === 'unknown') return this.#note(key, { kind: 'removed', id }, from, Infinity);
    this.#note(key, { kind: 'removed', id }, from, to);
    this.#note(key, { kind: 'missed', id, atMs: this.#cluster.clock.nowMs() }, from, to);
  }

  async #change(name: string, key: number, id: string, gateway: number, change: AttributesChange): Promise<void> {
    let attempt = 0;
    const from = this.#begin(name, `${change.kind} of version ${id} of`, key, gateway);
    const told = await this.#insistently(gateway, async ({ store }): Promise<Told> => {
      // A repetition is a change of its own: the gateway does not remember the first.
      const operation = operationId(`${name} attempt ${(attempt += 1)}`);
      const result = await store.changeAttributes({ ...address(key), versionId: id, change, operation });
      if (result.outcome === 'changed') return { id };
      if (result.outcome === 'locked') return 'locked';
      return result.outcome === 'unknown' ? 'unknown' : result.outcome === 'no-such-version' || result.outcome === 'delete-marker' ? 'missing' : 'void';
    });
    const to = this.#end(name, told);
    if (change.kind === 'legalHold') {
      // Lifted perhaps: then it protects nobody any more.
      if (typeof told === 'object' || !change.legalHold) this.#noteHold(key, id, change.legalHold, from, typeof told === 'object' ? to : Infinity);
    } else if (change.kind === 'retention' && typeof told === 'object') this.#noteRetention(key, id, change.retention, from, to);
  }

  #noteRetention(key: number, id: string, retention: Retention | undefined, from: number, to: number): void {
    if (retention === undefined) return;
    this.#lock(key, id);
    // GOVERNANCE may be gone against by whoever has leave.
    if (retention.mode === 'COMPLIANCE') this.#note(key, { kind: 'retained', id, untilMs: retention.untilMs }, from, to);
  }

  #noteHold(key: number, id: string, on: boolean, from: number, to: number): void {
    if (on) this.#lock(key, id);
    this.#note(key, { kind: 'held', id, on }, from, to);
  }

  #lock(key: number, id: string): void {
    this.#locked.set(`${key} ${id}`, { key, id, keyId: this.#keyId(key), stamp: stampOf(id) });
  }

  async #newest(name: string, key: number, gateway: number): Promise<boolean> {
    const from = this.#begin(name, 'GET of', key, gateway);
    const seen = await this.#look(gateway, async ({ store }): Promise<Bare<VersionEvent> | null> => {
      const found = await store.getObject({ ...address(key), versionId: undefined, customerKey: undefined, range: undefined });
      const atMs = this.#cluster.clock.nowMs();
      switch (found.outcome) {
        case 'found':
          return { kind: 'newest', ...versionOf(found.info.versionId), value: this.#contents.recognise(await bytesOf(found)), atMs };
        case 'delete-marker':
          return { kind: 'newest', id: found.versionId, value: null, atMs };
        case 'no-such-key':
          return { kind: 'newest', id: null, value: null, atMs };
        default:
          return null;
      }
    });
    return this.#saw(name, key, seen, from);
  }

  async #read(name: string, key: number, id: string, gateway: number): Promise<boolean> {
    const from = this.#begin(name, `GET of version ${id} of`, key, gateway);
    const seen = await this.#look(gateway, async ({ store }): Promise<Bare<VersionEvent> | null> => {
      const found = await store.getObject({ ...address(key), versionId: id, customerKey: undefined, range: undefined });
      switch (found.outcome) {
        case 'found':
          return { kind: 'read', id, value: this.#contents.recognise(await bytesOf(found)) };
        case 'delete-marker':
          return { kind: 'read', id, value: null };
        case 'no-such-version':
          return { kind: 'missed', id, atMs: this.#cluster.clock.nowMs() };
        default:
          return null;
      }
    });
    return this.#saw(name, key, seen, from);
  }

  async #versions(name: string, key: number, gateway: number): Promise<boolean> {
    const from = this.#begin(name, 'LIST of versions of', key, gateway);
    const seen = await this.#look(gateway, async ({ store }): Promise<Bare<VersionEvent> | null> => {
      const listing = await store.openListing(VERSIONS_BUCKET);
      if (listing.outcome !== 'listing') return null;
      const wanted = utf8(VersionClients.keyName(key));
      const rows = await listing.versions(wanted, undefined, undefined, LIST_ROWS_MAX);
      const own = rows.filter((row) => row.key === VersionClients.keyName(key));
      const listed = own.map(({ versionId, isLatest, isDeleteMarker, etag }): ListedVersion => ({ id: versionId, isLatest, value: isDeleteMarker ? null : this.#contents.byTag(etag) }));
      return { kind: 'listed', rows: listed, atMs: this.#cluster.clock.nowMs() };
    });
    this.#options.counts.lists += seen === null ? 0 : 1;
    return this.#saw(name, key, seen, from);
  }

  #saw(name: string, key: number, seen: Bare<VersionEvent> | null, from: number): boolean {
    this.#options.counts[seen === null ? 'failedReads' : 'reads'] += 1;
    const to = this.#finish(name, seen === null ? 'failed' : JSON.stringify(seen));
    if (seen !== null) this.#note(key, seen, from, to);
    return seen !== null;
  }

  /** Sends the request again while its end is not known. */
  async #insistently(gateway: number, request: (gateway: Gateway) => Promise<Told>): Promise<Told> {
    let outcome: Told = 'void';
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (attempt > 0) {
        this.#options.counts.resent += 1;
        await this.#cluster.clock.sleep(AGAIN_MS);
      }
      const asked = await this.#cluster.ask(gateway, (g) => request(g).catch(refusal));
      const told: Told = asked.kind === 'cut' ? (asked.begun ? 'unknown' : 'void') : asked.value;
      if (typeof told === 'object') return told;
      // Once something may have happened, a later refusal says nothing about it.
      if (outcome !== 'unknown') outcome = told;
      if (told === 'locked' || told === 'missing') break;
    }
    return outcome;
  }

  async #look<T>(gateway: number, request: (gateway: Gateway) => Promise<T | null>): Promise<T | null> {
    const nothing = (error: unknown): null => {
      if (!isOperationError(error)) throw error;
      return null;
    };
    const asked = await this.#cluster.ask(gateway, (g) => request(g).catch(nothing));
    return asked.kind === 'done' ? asked.value : null;
  }

  #note(key: number, event: Bare<VersionEvent>, from: number, to: number): void {
    this.#events[key]?.push({ ...event, from, to } as VersionEvent);
    const ids = event.kind === 'listed' ? event.rows.map(({ id }) => id) : 'id' in event && event.id !== null && event.kind !== 'missed' ? [event.id] : [];
    for (const id of ids) this.#ids[key]?.add(id);
  }

  #keyId(key: number): Uint8Array {
    return this.#keys.objectKeyId(VersionClients.keyName(key));
  }

  #begin(name: string, what: string, key: number, gateway: number): number {
    this.#options.trace.note(`client ${name}`, `${what} ${VersionClients.keyName(key)} via ${gateway}`);
    return (this.#tick += 1);
  }

  #end(name: string, told: Told): number {
    const { counts } = this.#options;
    if (typeof told === 'object') counts.acknowledged += 1;
    else counts[({ unknown: 'unknown', void: 'refused', locked: 'declined', missing: 'declined' } as const)[told]] += 1;
    return this.#finish(name, typeof told === 'object' ? told.id : told);
  }

  #finish(name: string, what: string): number {
    this.#options.trace.note(`client ${name}`, `-> ${what}`);
    return (this.#tick += 1);
  }
}

function address(key: number): { readonly bucket: string; readonly key: string } {
  return { bucket: VERSIONS_BUCKET, key: VersionClients.keyName(key) };
}

function refusal(error: unknown): Told {
  if (!isOperationError(error)) throw error;
  return 'void';
}

function versionOf(id: string | undefined): { readonly id: string } {
  if (id === undefined) throw new TypeError('a bucket that keeps versions names each');
  return { id };
}

function stampOf(id: string): Stamp {
  const stamp = stampOfId(id, FIRST_GENERATION);
  if (stamp === undefined) throw new TypeError(`${id} is no id of a version`);
  return stamp;
}

function valuesIn(event: VersionEvent): readonly string[] {
  const values = event.kind === 'listed' ? event.rows.map(({ value }) => value) : 'value' in event ? [event.value] : [];
  return values.filter((value) => value !== null);
}
