/**
 * A real storage node that is asked what a model's node is asked (spec/models/node.ts): the node that ships, on
 * a disk in memory, behind its own `handle`, with manifests, certificates and licences that verify. What the
 * other nodes would have to sign for that is signed with their keys.
 */
import { EMPTY, equal, hex } from '../../src/base/bytes.ts';
import { certificateFault, decodeCertificate } from '../../src/protocol/certificate.ts';
import { encode } from '../../src/protocol/encoding.ts';
import { openSignedManifest } from '../../src/protocol/manifest.ts';
import { decodeResolution } from '../../src/protocol/messages.ts';
import type { AnswerOf, RefusedAnswer, RequestOf } from '../../src/protocol/messages.ts';
import { quorumSize } from '../../src/protocol/quorum.ts';
import { StatementVerifier } from '../../src/protocol/statement.ts';
import { nodeKey, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { World } from '../../test/world/world.ts';
import type { ModelStamp } from '../models/acceptance.ts';
import { headText } from '../models/node.ts';
import type { HeadName, NodeRequest } from '../models/node.ts';

export type Receipt = AnswerOf<'PREPARE'>;

export interface Geometry {
  readonly n: number;
  readonly f: number;
  readonly k: number;
}

/** A cluster of real nodes and two writers, numbered as the writers of a model are: the first has the lower identity. */
export class ReplayWorld {
  readonly world: World;
  readonly writers: readonly RawWriter[];
  readonly #verifier: StatementVerifier;
  #forgedIndex = 1_000_000;

  private constructor(world: World, writers: readonly RawWriter[]) {
    this.world = world;
    this.writers = writers;
    this.#verifier = new StatementVerifier(world.cluster.id);
  }

  static async start({ n, f, k }: Geometry): Promise<ReplayWorld> {
    const disks = new Map(Array.from({ length: n }, (_, slot) => [slot, new FaultyDisk()]));
    // Garbage is collected all the time, so that it happens between any two steps.
    const world = await World.start({ n, f, k, writers: 2, disks, tuning: { upkeepMs: 10, quarantineMs: 0 } });
    const writers = [new RawWriter(world, 0), new RawWriter(world, 1)].sort((a, b) => (hex(a.writerId) < hex(b.writerId) ? -1 : 1));
    const record = writers[0]?.record(1);
    if (record === undefined) throw new Error('there are two writers');
    await writers[0]?.write(record);
    for (const writer of writers) writer.under(record.signed.manifest.stamp);
    return new ReplayWorld(world, writers);
  }

  writer(number: number): RawWriter {
    const writer = this.writers[number - 1];
    if (writer === undefined) throw new Error(`no writer ${number}`);
    return writer;
  }

  /** A certificate of these receipts and, where they are too few, of others that are signed with their slots' keys. */
  certificate(version: RawVersion, receipts: ReadonlyMap<number, Receipt>, signers: readonly number[]): Uint8Array {
    const [anyone] = this.writers;
    if (anyone === undefined) throw new Error('there are two writers');
    const { cluster } = this.world;
    const honest = [...receipts].map(([slot, receipt]) => ({ slot, ...receipt }));
    const forged = signers.filter((slot) => !receipts.has(slot)).map((slot) => anyone.receiptOf(version, slot, (this.#forgedIndex += 1)));
    const bytes = anyone.certificate(version, [...honest, ...forged].slice(0, quorumSize(cluster.geometry)));
    const decoded = decodeCertificate(bytes);
    const fault = decoded.ok ? certificateFault(cluster, this.#verifier, decoded.value) : decoded.reason;
    if (fault !== null) throw new Error(`these receipts make no certificate: ${fault}`);
    return bytes;
  }

  /** The node dies and comes back on its disk. */
  async restart(slot: number): Promise<void> {
    await this.world.kill(slot);
    for (const writer of this.writers) await writer.hangUp(slot);
    await this.world.restart(slot);
  }
}

/** One key of one real node, spoken to in the requests of the model. */
export class RealNode {
  readonly #replay: ReplayWorld;
  readonly #slot: number;
  readonly #key: string;
  /** Those of the model, by position. */
  readonly #stamps: readonly ModelStamp[];
  /** By head. Nodes of one key share them: any of them may show what another was sent. */
  readonly #versions: Map<string, RawVersion>;
  /** By head. Its place in the log must not change however often it is asked for. */
  readonly #receipts = new Map<string, Receipt>();

  constructor(replay: ReplayWorld, slot: number, key: string, stamps: readonly ModelStamp[], versions: Map<string, RawVersion> = new Map()) {
    this.#replay = replay;
    this.#slot = slot;
    this.#key = key;
    this.#stamps = stamps;
    this.#versions = versions;
  }

  /** What the node answers, in the words of the model. */
  async ask(request: NodeRequest): Promise<string> {
    switch (request.type) {
      case 'PREPARE':
        return this.#prepare(request.head);
      case 'COMMIT':
        return this.commit(request.head, this.#replay.certificate(this.version(request.head), new Map(), this.#others()));
      case 'RESOLVE':
        return this.#resolve(request.stamp, request.promise);
      case 'ABORT': {
        const { keyId, stamp } = this.version({ stamp: request.stamp, value: 0 }).signed.manifest;
        const answer = await this.#writer(request.stamp).ask(this.#slot, { t: 'ABORT', keyId, stamp, resolutions: this.#licence(request.stamp) });
        return answer.ok ? 'let go' : answer.refused.code;
      }
    }
  }

  async commit(head: HeadName, cert: Uint8Array): Promise<string> {
    const answer = await this.#writer(head.stamp).commit(this.#slot, cert);
    return answer.ok ? 'acknowledged' : this.#refusal(answer.refused);
  }

  /** Whether it gives its cell, which must be the one that it was sent. */
  async fetch(head: HeadName): Promise<string> {
    const version = this.version(head);
    const answer = await this.#writer(head.stamp).fetch(this.#slot, version);
    if (!answer.ok) return this.#refusal(answer.refused);
    return equal(answer.payload, version.cells[0]?.[this.#slot] ?? EMPTY) ? 'cell' : 'another cell';
  }

  /** The receipt that it has given. */
  receipt(head: HeadName): Receipt | undefined {
    return this.#receipts.get(headText(head));
  }

  /** Its highest version, as it shows it. */
  async shown(): Promise<string> {
    const answer = await this.#replay.writer(1).query(this.#slot, this.#key);
    if (!answer.ok) return this.#refusal(answer.refused);
    return answer.answer.cert === null ? 'nothing' : this.#certified(answer.answer.cert);
  }

  async #prepare(head: HeadName): Promise<string> {
    const answer = await this.#writer(head.stamp).prepare(this.#slot, this.version(head));
    if (!answer.ok) return this.#refusal(answer.refused);
    const first = this.#receipts.get(headText(head)) ?? answer.answer;
    this.#receipts.set(headText(head), first);
    return first.logIndex === answer.answer.logIndex ? 'receipt' : `receipt for index ${answer.answer.logIndex} after one for ${first.logIndex}`;
  }

  async #resolve(stamp: number, promise: boolean): Promise<string> {
    const { manifest } = this.version({ stamp, value: 0 }).signed;
    const answer = await this.#writer(stamp).ask(this.#slot, { t: 'RESOLVE', keyId: manifest.keyId, stamp: manifest.stamp, promise });
    if (!answer.ok) return answer.refused.code;
    const said = decodeResolution(answer.answer.resolution.body);
    if (!said.ok) return said.reason;
    return said.value.prepared === null ? 'never' : `accepted ${this.#nameOf(said.value.prepared)}`;
  }

  #refusal({ code, cert, manifest }: RefusedAnswer): string {
    if (code === 'SUPERSEDED') return `SUPERSEDED by ${cert === null ? 'nothing' : this.#certified(cert)}`;
    if (code !== 'EQUIVOCATION') return code;
    const first = manifest === null ? null : openSignedManifest(manifest);
    return `EQUIVOCATION after ${first?.ok === true ? this.#nameOf(first.value.hash) : 'nothing'}`;
  }

  #certified(bytes: Uint8Array): string {
    const cert = decodeCertificate(bytes);
    return cert.ok ? this.#nameOf(cert.value.signed.hash) : cert.reason;
  }

  #nameOf(hash: Uint8Array): string {
    for (const [name, { signed }] of this.#versions) if (hex(signed.hash) === hex(hash)) return name;
    return 'what nobody wrote';
  }

  version(head: HeadName): RawVersion {
    const name = headText(head);
    const counter = this.#stamps[head.stamp]?.counter ?? 0;
    const version = this.#versions.get(name) ?? this.#writer(head.stamp).version({ key: this.#key, counter, content: `${this.#key} ${name}` });
    this.#versions.set(name, version);
    return version;
  }

  #writer(stamp: number): RawWriter {
    return this.#replay.writer(this.#stamps[stamp]?.writer ?? 0);
  }

  /** All nodes but this one. */
  #others(): readonly number[] {
    return this.#replay.world.cluster.slots.map(({ slot }) => slot).filter((slot) => slot !== this.#slot);
  }

  /** Statements of all others that they will never accept anything there. */
  #licence(stamp: number): RequestOf<'ABORT'>['resolutions'] {
    const { cluster } = this.#replay.world;
    const { manifest } = this.version({ stamp, value: 0 }).signed;
    return this.#others().map((slot) => {
      const body = encode({ v: 1, keyId: manifest.keyId, stamp: manifest.stamp, slot, epoch: cluster.epoch, prepared: null });
      return { body, proof: prove(cluster, nodeKey(slot), 'resolution', body) };
    });
  }
}
