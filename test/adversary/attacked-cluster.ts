/**
 * Six storage nodes and a gateway as real processes, with contents that are known, a reader that never stops,
 * and room for one liar: an adversary of the simulator takes the place of a correct node, over the same folder
 * and keys, and leaves again. What the members noticed is read where operators would read it: in the gateway's
 * status and in the folders of evidence.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { openOrCreateCluster } from '../../src/cli/cluster-folder.ts';
import { EVIDENCE_FOLDER } from '../../src/cli/evidence-folder.ts';
import type { ControllerStatus } from '../../src/control/status.ts';
import { ACCESS_KEYS_FILE } from '../../src/cli/identity-folder.ts';
import { Members, Program, until } from '../cluster/programs.ts';
import type { Role } from '../cluster/programs.ts';

const NODES = 6;
const BUCKET = 'known';
const LOCKED_BUCKET = 'locked';
const OBJECTS = 20;
/** Sealed beside the manifest, one stripe, two stripes. */
const SIZES = [500, 3_000, 20_000, 200_000, 1_200_000];
const YEAR_MS = 365 * 86_400_000;
const REST_MS = 20;
/** Short, so that a show need not wait. */
const AUDIT_PERIOD_S = '60';
/** Generous, for slow machines. */
const REPAIR_MS = 300_000;

export interface Noticed {
  /** `gateway: E4-node-3-….cbor`, by path. */
  readonly evidence: ReadonlyMap<string, string>;
  /** `slot kind` and how often, with what was said of it last. */
  readonly suspicions: ReadonlyMap<string, { readonly slot: number; readonly kind: string; readonly count: number; readonly detail: string }>;
  /** Calls of the gateway that a slot took and did not answer, by `slot type code`. */
  readonly failures: ReadonlyMap<string, number>;
}

interface ReaderReport {
  readonly reads: number;
  readonly slowestMs: number;
}

function contentOf(name: string, size: number): Buffer {
  const block = createHash('sha256').update(name).digest();
  return Buffer.concat(Array.from({ length: Math.ceil(size / block.length) }, () => block)).subarray(0, size);
}

const known = Array.from({ length: OBJECTS }, (_, i) => ({ key: `object-${i}`, bytes: contentOf(`object ${i}`, SIZES[i % SIZES.length] ?? 1) }));

export class AttackedCluster {
  readonly dir: string;
  readonly members: Members;
  readonly #port: number;
  #client: S3Client | null = null;
  #controller: Program | null = null;
  #reading: Promise<void> = Promise.resolve();
  #isReading = false;
  #reads = 0;
  #slowestMs = 0;
  #fault: string | null = null;
  #rounds = 0;

  /** Makes a cluster in `dir`; nothing of it runs. */
  static async make(dir: string): Promise<void> {
    await fs.promises.mkdir(dir, { mode: 0o700 });
    await openOrCreateCluster(dir, { n: undefined, f: undefined, k: undefined });
  }

  constructor(dir: string, port: number) {
    this.dir = dir;
    this.members = new Members(dir);
    this.#port = port;
  }

  get #controllerFolder(): string {
    return path.join(this.dir, 'controller');
  }

  get config(): string {
    return path.join(this.dir, 'cluster.cfg');
  }

  /** Starts all members, and stores the known contents where `isNew`; then the reader begins. */
  async start(isNew: boolean = false): Promise<void> {
    await this.members.start(Array.from({ length: NODES }, () => 'correct'), `127.0.0.1:${this.#port}`);
    for (let slot = 0; slot < NODES; slot += 1) if (!(await this.members.nodeServes(slot))) throw new Error(`node ${slot} does not serve`);
    const { config } = this;
    this.#controller = new Program(['controller', 'run', '--dir', this.#controllerFolder, '--config', config, '--gateway-dir', this.members.gatewayFolder, '--audit-period', AUDIT_PERIOD_S]);
    if (isNew) await this.#store();
    this.#client = this.#clientOf(1);
    this.#isReading = true;
    this.#reading = this.#readOn(this.#client);
  }

  async #store(): Promise<void> {
    const client = this.#clientOf(3);
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    await client.send(new CreateBucketCommand({ Bucket: LOCKED_BUCKET, ObjectLockEnabledForBucket: true }));
    for (const { key, bytes } of known) await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: bytes }));
    client.destroy();
  }

  #clientOf(maxAttempts: number): S3Client {
    const file = path.join(this.members.gatewayFolder, ACCESS_KEYS_FILE);
    const { accessKeys } = JSON.parse(fs.readFileSync(file, 'utf8')) as { accessKeys: { accessKeyId: string; secretAccessKey: string }[] };
    const [credentials] = accessKeys;
    if (credentials === undefined) throw new Error('the gateway has an access key');
    return new S3Client({ endpoint: `http://127.0.0.1:${this.#port}`, region: 'us-east-1', credentials, forcePathStyle: true, maxAttempts });
  }

  /** Ends the reader and all members. */
  async stop(): Promise<void> {
    this.#isReading = false;
    await this.#reading;
    this.#client?.destroy();
    await this.#controller?.stop();
    await this.members.stop();
  }

  /** Another program takes the node's place. False: it does not serve. */
  async replace(slot: number, role: Exclude<Role, 'down'>): Promise<boolean> {
    await this.members.stopNode(slot);
    this.members.startNode(slot, role);
    return this.members.nodeServes(slot);
  }

  /** Takes all cells from a node, as a disk does that is exchanged; its log stays. It serves again when this returns. */
  async destroyCells(slot: number): Promise<void> {
    await this.members.stopNode(slot);
    const journal = path.join(this.members.nodeFolder(slot), 'journal');
    for (const name of fs.readdirSync(journal)) if (name.startsWith('cells-')) fs.rmSync(path.join(journal, name));
    this.members.startNode(slot);
    if (!(await this.members.nodeServes(slot))) throw new Error(`node ${slot} does not serve without its cells`);
  }

  /** Waits until the controller has seen `fits`; returns what it says then. */
  async untilControl(what: string, fits: (status: ControllerStatus) => boolean): Promise<ControllerStatus> {
    let last: ControllerStatus | null = null;
    await until(what, async () => {
      if (this.#controller?.child.exitCode !== null) throw new Error(`the controller ended: ${this.#controller?.stderr ?? ''}`);
      try {
        last = (await this.members.status(this.#controllerFolder)) as unknown as ControllerStatus;
      } catch {
        // It does not listen yet.
        return false;
      }
      return fits(last);
    }, REPAIR_MS);
    if (last === null) throw new Error('the controller answers');
    return last;
  }

  /** What the reader has seen since the last call. Throws when it was not given what was stored. */
  readerReport(): ReaderReport {
    if (this.#fault !== null) throw new Error(this.#fault);
    const report = { reads: this.#reads, slowestMs: Math.round(this.#slowestMs) };
    this.#reads = 0;
    this.#slowestMs = 0;
    return report;
  }

  /** Ordinary work of an S3 client, all of it: it meets every lie sooner or later. Failures count for nothing here. */
  async work(): Promise<void> {
    const client = this.#client;
    if (client === null) throw new Error('the cluster runs');
    this.#rounds += 1;
    const list = (): Promise<unknown> => client.send(new ListObjectsV2Command({ Bucket: BUCKET, MaxKeys: 5 }));
    const Key = `work-${this.#rounds % 3}`;
    const put = (size: number): Promise<unknown> => client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: contentOf(`${Key} ${this.#rounds}`, size) }));
    const get = async (): Promise<unknown> => (await client.send(new GetObjectCommand({ Bucket: BUCKET, Key }))).Body?.transformToByteArray();
    const lock = { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: new Date(Date.now() + YEAR_MS) } as const;
    const locked = (): Promise<unknown> => client.send(new PutObjectCommand({ Bucket: LOCKED_BUCKET, Key: `kept-${this.#rounds}`, Body: 'kept', ...lock }));
    const remove = (): Promise<unknown> => client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key }));
    for (const step of [list, () => put(900), list, get, () => put(1_000_000), list, get, locked, list, () => put(30_000), get, remove, list]) {
      await step().catch(() => undefined);
    }
  }

  /** What the members tell of each other at this moment. */
  async noticed(): Promise<Noticed> {
    const evidence = new Map<string, string>();
    for (const member of ['gateway', 'controller', ...Array.from({ length: NODES }, (_, slot) => `node-${slot}`)]) {
      const folder = path.join(this.dir, member, EVIDENCE_FOLDER);
      if (!fs.existsSync(folder)) continue;
      for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.cbor'))) evidence.set(path.join(folder, file), file);
    }
    const { suspicions, counters } = (await this.members.status(this.members.gatewayFolder)) as {
      suspicions: { slot: number; kind: string; count: number; detail: string }[];
      counters: Record<string, number>;
    };
    const failures = Object.entries(counters).flatMap(([name, count]) => {
      const [, labels = ''] = /^holdfast_client_call_failures_total(.*)$/.exec(name) ?? [];
      // Who cannot be reached has not been asked.
      return labels === '' || labels.includes('UNREACHABLE') ? [] : [[labelsText(labels), count] as const];
    });
    return { evidence, suspicions: new Map(suspicions.map((one) => [`${one.slot} ${one.kind}`, one])), failures: new Map(failures) };
  }

  async #readOn(client: S3Client): Promise<void> {
    for (let i = 0; this.#isReading && this.#fault === null; i += 1) {
      const { key, bytes } = known[i % known.length] ?? { key: '', bytes: Buffer.alloc(0) };
      const beganMs = performance.now();
      try {
        const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
        const read = await Body?.transformToByteArray();
        if (read === undefined || !bytes.equals(read)) this.#fault = `${key} was read with other bytes than were stored`;
      } catch (error) {
        this.#fault = `${key} could not be read: ${String(error)}`;
      }
      this.#reads += 1;
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - beganMs);
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
  }
}

/** `slot=3 type=QUERY code=TIMEOUT`, however the counter writes its labels. */
function labelsText(labels: string): string {
  const values = new Map([...labels.matchAll(/(\w+)="?([\w-]+)"?/g)].map(([, name = '', value = '']) => [name, value]));
  return `${values.get('slot') ?? '?'} ${values.get('type') ?? '?'} ${values.get('code') ?? '?'}`;
}
