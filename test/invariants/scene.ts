/**
 * The stage of the invariant tests: n = 4 real storage nodes on disks in memory, of which the last may lie
 * (f = 1), a writer by hand and protocol clients of several gateways, all in one bucket. So q = 3 receipts
 * make a certificate, c = 3 nodes must hold it before an acknowledgement, and k = 2 cells decode.
 */
import { EMPTY, equal } from '../../src/base/bytes.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import { certificateFault, decodeCertificate } from '../../src/protocol/certificate.ts';
import type { CertReceipt } from '../../src/protocol/certificate.ts';
import { compareStamps, ZERO_STAMP } from '../../src/protocol/stamp.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';
import { StatementVerifier } from '../../src/protocol/statement.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { clientOf } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { idOf, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

/** The slot of the node that may lie. */
export const LIAR = 3;
export const CORRECT: readonly number[] = [0, 1, 2];
export const ALL: readonly number[] = [0, 1, 2, 3];

type ClientAmend = Parameters<typeof clientOf>[2];

export class Scene {
  readonly world: World;
  readonly raw: RawWriter;
  readonly bucket: BucketAuthority;
  readonly #clients: TestClient[] = [];
  #keys = 0;

  private constructor(world: World, raw: RawWriter, bucket: BucketAuthority) {
    this.world = world;
    this.raw = raw;
    this.bucket = bucket;
  }

  /** Three gateways: the first writes by hand too. */
  static async start(options: WorldOptions = {}): Promise<Scene> {
    const world = await World.start({
      n: 4,
      writers: 3,
      ...options,
      disks: new Map(ALL.map((slot) => [slot, options.disks?.get(slot) ?? new FaultyDisk()])),
      tuning: { upkeepMs: 20, quarantineMs: 0, ...options.tuning },
    });
    const raw = new RawWriter(world);
    const { k } = world.cluster.geometry;
    // The bucket allows more than is safe: what is safe is not the bucket's to say.
    const record = raw.record(1, { geometries: [k, k + 1] });
    const recordCert = await raw.write(record);
    const { stamp } = record.signed.manifest;
    raw.under(stamp);
    return new Scene(world, raw, { bucketId: idOf('bucket'), gen: 1, k, stamp, recordCert });
  }

  /** A client of one gateway, closed at the end. */
  client(gateway: number = 0, amend: ClientAmend = {}): TestClient {
    const opened = clientOf(this.world, gateway, amend);
    this.#clients.push(opened);
    return opened;
  }

  /** A writer by hand with another gateway's key, or another session of the same. */
  writer(gateway: number, session: string): RawWriter {
    const raw = new RawWriter(this.world, gateway, session);
    raw.under(this.bucket.stamp);
    return raw;
  }

  /** From now on this gateway reaches these slots only. */
  hears(gateway: number, slots: readonly number[]): void {
    for (const slot of ALL) {
      const ends = [`gateway-${gateway}`, `node-${slot}`] as const;
      if (slots.includes(slot)) this.world.network.heal(...ends);
      else this.world.network.cut(...ends);
    }
  }

  freshKey(): string {
    this.#keys += 1;
    return `key ${this.#keys}`;
  }

  /** Ends what single tests have set up. */
  calm(): void {
    this.world.interceptors.clear();
    for (const gateway of [0, 1, 2]) this.hears(gateway, ALL);
  }

  async stop(): Promise<void> {
    this.calm();
    await Promise.all(this.#clients.map(({ client }) => client.close()));
    await this.world.stop();
  }

  /** The encoded certificate, or null where these receipts make none. */
  certificate(version: RawVersion, receipts: readonly CertReceipt[]): Uint8Array | null {
    const bytes = this.raw.certificate(version, receipts);
    const decoded = decodeCertificate(bytes);
    if (!decoded.ok) return null;
    const { cluster } = this.world;
    return certificateFault(cluster, new StatementVerifier(cluster.id), decoded.value) === null ? bytes : null;
  }

  /** A whole write by hand, with the receipts of these slots and its certificate on `holders`. Returns the certificate. */
  async write(version: RawVersion, slots: readonly number[] = CORRECT, holders: readonly number[] = slots): Promise<Uint8Array> {
    const cert = this.raw.certificate(version, await this.raw.receipts(version, slots));
    for (const slot of holders) {
      const answer = await this.raw.commit(slot, cert);
      if (!answer.ok) throw new Error(`slot ${slot}: ${answer.refused.code} ${answer.refused.reason}`);
    }
    return cert;
  }

  /** Slots that take a certificate in. */
  async takers(cert: Uint8Array, slots: readonly number[] = CORRECT): Promise<number[]> {
    const took = await Promise.all(slots.map(async (slot) => ((await this.raw.commit(slot, cert)).ok ? slot : -1)));
    return took.filter((slot) => slot >= 0);
  }

  /** The stamp that a node shows for a key; zero: none. */
  async shown(slot: number, key: string): Promise<Stamp> {
    const answer = await this.raw.query(slot, key);
    if (!answer.ok) throw new Error(`QUERY: ${answer.refused.code}`);
    if (answer.answer.cert === null) return ZERO_STAMP;
    const decoded = decodeCertificate(answer.answer.cert);
    if (!decoded.ok) throw new Error(decoded.reason);
    return decoded.value.signed.manifest.stamp;
  }

  /** Correct nodes that show a version at `stamp` or above. */
  async showing(key: string, stamp: Stamp, slots: readonly number[] = CORRECT): Promise<number[]> {
    const stamps = await Promise.all(slots.map((slot) => this.shown(slot, key)));
    return slots.filter((_, i) => compareStamps(stamps[i] ?? ZERO_STAMP, stamp) >= 0);
  }

  /** Correct nodes that give all their cells of a version, as the writer made them. */
  async holders(version: RawVersion, slots: readonly number[] = CORRECT): Promise<number[]> {
    const whole = await Promise.all(
      slots.map(async (slot) => {
        const answers = await Promise.all(version.rows.map((_, stripe) => this.raw.fetch(slot, version, stripe)));
        return answers.every((answer, stripe) => answer.ok && equal(answer.payload, version.cells[stripe]?.[slot] ?? EMPTY));
      }),
    );
    return slots.filter((_, i) => whole[i]);
  }

  /** Waits until the correct nodes have let a version go. */
  async collected(version: RawVersion): Promise<void> {
    await this.until('the version is collected', async () => (await this.holders(version)).length === 0);
  }

  /** Several rounds of every node's upkeep. */
  rounds(): Promise<void> {
    return this.world.clock.sleep(150);
  }

  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const { clock } = this.world;
    for (const end = clock.monotonicMs() + 8_000; clock.monotonicMs() < end; await clock.sleep(10)) if (await holds()) return;
    throw new Error(`it never came to pass that ${what}`);
  }

  /** The node dies and comes back on `disk`, or on its own; writers by hand connect anew. */
  async reborn(slot: number, disk?: FaultyDisk): Promise<void> {
    await this.world.kill(slot);
    await this.raw.hangUp(slot);
    if (disk !== undefined) this.world.disks.set(slot, disk);
    await this.world.restart(slot);
  }
}
