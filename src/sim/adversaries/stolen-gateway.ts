/**
 * A gateway whose keys were all stolen, the owner's among them, let loose on versions under object lock. It
 * asks the storage nodes directly, past everything that an honest gateway checks: to remove what is locked, to
 * let it go, to make retention less, to open the bucket's record. What it may do by right, as lifting a legal
 * hold, it leaves alone: then whatever is gone before its time was taken from the nodes against their promise
 * (I10).
 */
import { EMPTY, hex } from '../../base/bytes.ts';
import { CELL_BYTES_DEFAULT } from '../../base/limits.ts';
import type { Clock } from '../../base/ports.ts';
import type { AttemptJournal } from '../../client/attempts.ts';
import { ProtocolClient } from '../../client/client.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import { wasmCodec } from '../../erasure/wasm.ts';
import { WorkspacePool } from '../../erasure/workspace.ts';
import { authorityOf, BucketRegistry } from '../../gateway/buckets/bucket-registry.ts';
import type { Bucket } from '../../gateway/buckets/bucket-registry.ts';
import { OwnerKeys } from '../../keyring/owner-keys.ts';
import { attributesKeyId, encodeAttributes } from '../../protocol/attributes.ts';
import type { Lock } from '../../protocol/attributes.ts';
import type { BucketRecord } from '../../protocol/bucket-record.ts';
import { ROOT_SECRET } from '../simulated-cluster.ts';
import type { SimulatedWriter } from '../members.ts';
import type { MemoryNetwork } from '../memory-transport.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Trace } from '../trace.ts';
import type { LockedVersion, VersionClients } from '../version-clients.ts';
import { VERSIONS_BUCKET } from '../version-clients.ts';
import type { WriterStage } from './stage.ts';
import type { CountingTelemetry } from '../counting-telemetry.ts';

export interface StolenGatewayOptions {
  readonly stage: WriterStage & { readonly network: MemoryNetwork; readonly clock: Clock; readonly telemetry: CountingTelemetry };
  readonly writer: SimulatedWriter;
  readonly random: SeededRandom;
  readonly trace: Trace;
  /** Whose versions it is after. */
  readonly victims: VersionClients;
}

const OWN_BUCKET = 'stolen';
const HASH_BYTES = 32;
const REST_MS = 60;
/** Of each bucket: a refusal costs the time of a write. */
const REPLACED_MAX = 2;
/** It does not wait as patiently as an honest one. */
const PREPARE_MS = 400;
const YEAR_MS = 365 * 86_400_000;
const FREE: Lock = { lockMode: 'NONE', retainUntil: 0, legalHold: false };
const FORGETFUL: AttemptJournal = {
  begin: () => Promise.resolve(),
  abandoned: () => Promise.resolve(),
  published: () => Promise.resolve(),
  superseded: () => Promise.resolve(),
  settled: () => Promise.resolve(),
};

export class StolenGateway {
  readonly #options: StolenGatewayOptions;
  readonly #client: ProtocolClient;
  readonly #registry: BucketRegistry;
  readonly moves = new Map<string, number>();

  constructor(options: StolenGatewayOptions) {
    this.#options = options;
    const { stage, writer, random } = options;
    const { cluster, clock, telemetry, network } = stage;
    this.#client = new ProtocolClient({
      ...writer,
      cluster,
      clock,
      telemetry,
      random,
      journal: FORGETFUL,
      transport: network.transport('stolen gateway', hex(writer.tlsKey.publicKey)),
      workspaces: new WorkspacePool(wasmCodec, { workspaceCount: 1, cellCountMax: cluster.geometry.n, cellBytesMax: CELL_BYTES_DEFAULT }),
      deadlines: { prepareMs: PREPARE_MS },
    });
    this.#registry = new BucketRegistry({ client: this.#client, owner: new OwnerKeys(ROOT_SECRET), random, clock, telemetry, k: cluster.geometry.k });
  }

  async run(moveCount: number): Promise<void> {
    const { stage, random, victims, trace } = this.#options;
    const moves = Object.entries(this.#repertoire());
    for (let i = 0; i < moveCount; i += 1) {
      await stage.clock.sleep(random.around(REST_MS));
      const [victim] = random.shuffled(victims.lockedVersions());
      if (victim === undefined) continue;
      const [name, move] = random.pick(moves);
      this.moves.set(name, (this.moves.get(name) ?? 0) + 1);
      trace.note('stolen gateway', `${name} ${victim.id}`);
      const bucket = await this.#registry.refresh(VERSIONS_BUCKET).catch(() => null);
      if (bucket === null) continue;
      victims.attacked(victim);
      await move(bucket, victim).catch((error: unknown) => trace.note('stolen gateway', `-> ${String(error)}`));
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #repertoire(): Readonly<Record<string, (bucket: Bucket, victim: LockedVersion) => Promise<unknown>>> {
    return {
      'removes what is locked': (bucket, victim) => this.#remove(bucket, victim),
      'lets go and removes': (bucket, victim) => this.#letGoAndRemove(bucket, victim),
      'makes retention shorter': async (bucket, victim) => {
        await this.#attributes(bucket, victim, { ...FREE, lockMode: 'COMPLIANCE', retainUntil: 1 }, false);
        return this.#letGoAndRemove(bucket, victim);
      },
      'turns COMPLIANCE into GOVERNANCE': async (bucket, victim) => {
        await this.#attributes(bucket, victim, { ...FREE, lockMode: 'GOVERNANCE', retainUntil: this.#options.stage.clock.nowMs() + 20 * YEAR_MS }, false);
        return this.#letGoAndRemove(bucket, victim);
      },
      'replaces all': (bucket, { keyId }) => this.#replace(bucket, keyId),
      'lets go from another bucket': async (bucket, victim) => {
        const other = await this.#another(bucket);
        if (other !== null) await this.#attributes(other, victim, FREE, true);
        return this.#remove(bucket, victim);
      },
      'ends the lock of the bucket': (bucket) => this.#record({ ...bucket.record, lock: false, versioning: 'SUSPENDED' }, bucket),
    };
  }

  /**
   * At the end, as nobody finds anything in the bucket afterwards: it makes a bucket without lock, and a new
   * generation of this one in which nothing is locked, and in both it writes over every version that is.
   */
  async replaceAll(): Promise<void> {
    const bucket = await this.#registry.refresh(VERSIONS_BUCKET);
    if (bucket === null) return;
    await this.#replaceIn(await this.#another(bucket), 'SERIALISED');
    const { record } = bucket;
    for (const state of ['CLOSING', 'DELETED'] as const) await this.#record({ ...record, state }, bucket);
    for (const mode of ['SERIALISED', 'PLAIN'] as const) {
      const gen = ((await this.#registry.refresh(VERSIONS_BUCKET)) ?? bucket).record.gen + 1;
      await this.#record({ ...record, gen, mode, lock: false, versioning: 'NEVER' }, bucket);
      await this.#replaceIn(await this.#registry.refresh(VERSIONS_BUCKET), mode);
    }
  }

  /** One of its own, without lock. */
  async #another({ seal }: Bucket): Promise<Bucket | null> {
    const known = await this.#registry.find(OWN_BUCKET);
    if (known !== null) return known;
    const next = this.#registry.nextGeneration(OWN_BUCKET, null, { owner: seal.owner ?? '', lockEnabled: false, serialised: true });
    await this.#registry.write(next.seal, next.record, this.#options.random.bytes(HASH_BYTES));
    return this.#registry.refresh(OWN_BUCKET);
  }

  async #replaceIn(bucket: Bucket | null, mode: BucketRecord['mode']): Promise<void> {
    const { victims, random, trace } = this.#options;
    if (bucket?.record.mode !== mode) return;
    for (const victim of random.shuffled(victims.mustStay()).slice(0, REPLACED_MAX)) {
      victims.attacked(victim);
      const refused = (error: unknown): void => trace.note('stolen gateway', `-> ${String(error)}`);
      if (mode === 'SERIALISED') await this.#attributes(bucket, victim, FREE, true).catch(refused);
      await this.#replace(bucket, victim.keyId).catch(refused);
    }
  }

  async #letGoAndRemove(bucket: Bucket, victim: LockedVersion): Promise<void> {
    await this.#attributes(bucket, victim, FREE, true);
    await this.#remove(bucket, victim);
  }

  /** What the nodes hold of its attributes is replaced by these, whatever it is. */
  async #attributes({ keys, ...bucket }: Bucket, victim: LockedVersion, lock: Lock, gone: boolean): Promise<void> {
    const { random, stage, victims } = this.#options;
    // Whoever holds a gateway's keys may lift a hold, and this would.
    if (!gone) victims.lifted(victim);
    const { keyId, stamp } = victim;
    const at = attributesKeyId(keyId, stamp);
    const dataKey = random.bytes(AEAD_KEY_BYTES);
    const attributes = { tags: [], accessControl: null, retention: null, legalHold: false };
    const encMeta = keys.sealMeta(random, at, dataKey, { v: 1, t: 'attributes', keyId, stamp, attributes, mtimeMs: stage.clock.nowMs(), operation: null });
    await this.#client.writeSlot({
      bucket: authorityOf({ keys, ...bucket }),
      keyId: at,
      opId: random.bytes(HASH_BYTES),
      clear: encodeAttributes({ v: 1, keyId, stamp, gone, ...lock }),
      needsCertified: false,
      decide: () => Promise.resolve({ removes: 'ALL', bypassGovernance: true }),
      content: { kind: 'bytes', size: 0, body: nothing(), dataKey, wrappedKey: keys.wrap(random, at, dataKey), finish: () => Promise.resolve(encMeta) },
    });
  }

  async #remove(bucket: Bucket, { keyId, stamp }: LockedVersion): Promise<void> {
    const { random, stage } = this.#options;
    const meta = { v: 2, t: 'remove', of: { t: 'object', name: 'stolen' }, latest: null, isMarker: false, mtimeMs: stage.clock.nowMs(), operation: null } as const;
    await this.#client.writeSlot({
      bucket: authorityOf(bucket),
      keyId,
      opId: random.bytes(HASH_BYTES),
      needsCertified: false,
      decide: () => Promise.resolve({ removes: [stamp], bypassGovernance: true }),
      content: { kind: 'remove', wrappedKey: EMPTY, encMeta: bucket.keys.sealTombstone(random, keyId, meta) },
    });
  }

  async #replace(bucket: Bucket, keyId: Uint8Array): Promise<void> {
    const { random, stage } = this.#options;
    const meta = { v: 2, t: 'tombstone', of: { t: 'object', name: 'stolen' }, mtimeMs: stage.clock.nowMs(), operation: null, owner: null, kept: 'NEVER' } as const;
    const content = { kind: 'tombstone', wrappedKey: EMPTY, encMeta: bucket.keys.sealTombstone(random, keyId, meta) } as const;
    const write = { bucket: authorityOf(bucket), keyId, opId: random.bytes(HASH_BYTES), content };
    if (bucket.record.mode === 'PLAIN') await this.#client.write(write);
    else await this.#client.writeSlot({ ...write, needsCertified: false, decide: () => Promise.resolve({ removes: 'ALL', bypassGovernance: true }) });
  }

  async #record(record: BucketRecord, { seal }: Bucket): Promise<void> {
    await this.#registry.write(seal, record, this.#options.random.bytes(HASH_BYTES));
  }
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}
