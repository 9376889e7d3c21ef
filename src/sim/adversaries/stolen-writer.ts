/**
 * A writer whose key was stolen. It speaks to single nodes, as the protocol's core sees it: asks them to sign
 * what they must not, two versions of one stamp, contents that are not there, stamps that have passed; it
 * keeps certificates back and shows them late, and asks nodes to forget what they signed. Besides it has the
 * key of a member that may only read. It has keys of its own in a bucket of its own, so that what it does there
 * is known exactly.
 */
import { EMPTY, equal } from '../../base/bytes.ts';
import { CERTS_BATCH_MAX, CHANGES_LEAVES_MAX } from '../../base/limits.ts';
import { sha256 } from '../../crypto/primitives.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import type { CertReceipt } from '../../protocol/certificate.ts';
import { encode } from '../../protocol/encoding.ts';
import type { Manifest } from '../../protocol/manifest.ts';
import type { Request, RequestOf, RequestType } from '../../protocol/messages.ts';
import { quorumSize } from '../../protocol/quorum.ts';
import { COUNTER_STEP_MAX } from '../../protocol/stamp.ts';
import { seededKey } from '../members.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Trace } from '../trace.ts';
import { RawWriter } from './raw-writer.ts';
import type { Answer, RawVersion } from './raw-writer.ts';
import { prove } from './stage.ts';
import type { WriterStage } from './stage.ts';
import { equivocation, withFewerStripes, withOtherRows, withoutContent, withWrongCells } from './writers.ts';
import type { Asking } from './writers.ts';

export interface StolenWriterOptions {
  readonly stage: WriterStage;
  /** Indices among the writers of the configuration: one that may write, and one that may not. */
  readonly writer: number;
  readonly reader: number;
  readonly random: SeededRandom;
  readonly trace: Trace;
  /** Slots of correct nodes: only what they do is a violation. */
  readonly correct: readonly number[];
}

/** No member of the cluster. */
const NOBODY = seededKey('nobody');
const KEYS = 3;
const REST_MS = 80;
/** Of a move that breaks rules, one after the other. */
const RULES_BROKEN = 4;
/** Runs that end with it. */
const HOARD_SHARE = 0.3;
const HOARDED_CELL_BYTES = 256 * 1024;
/** More than sealing adds to a content. */
const SEALING_BYTES = 1024;
const SIZES = [500, 500, 3_000, 9_000];
const CHECK_ATTEMPTS = 4;
const CHECK_PAUSE_MS = 1_000;

type Resolutions = RequestOf<'ABORT'>['resolutions'];

/** A change that makes a manifest one that no correct node may sign, whatever it knows. */
const ILLEGAL: Readonly<Record<string, (manifest: Manifest) => Manifest>> = {
  'another epoch': (m) => ({ ...m, epoch: m.epoch + 1 }),
  'another generation': (m) => ({ ...m, stamp: { ...m.stamp, gen: m.stamp.gen + 1 } }),
  'another n': (m) => ({ ...m, n: m.n - 1 }),
  'k above n-2f': (m) => ({ ...m, k: m.k + 1 }),
  'k below f+1': (m) => ({ ...m, k: 1 }),
  'a retention': (m) => ({ ...m, retainUntil: 4_102_444_800_000 }),
  'another suite': (m) => ({ ...m, suite: m.suite + 1 }),
  'another gateway': (m) => ({ ...m, gatewayId: sha256(m.gatewayId) }),
  'another mode': (m) => ({ ...m, mode: 'SLOT' }) as unknown as Manifest,
  'a counter far ahead': (m) => ({ ...m, stamp: { ...m.stamp, counter: m.stamp.counter + 10 * COUNTER_STEP_MAX } }),
};

export class StolenWriter {
  readonly #options: StolenWriterOptions;
  readonly #raw: RawWriter;
  readonly #reader: RawWriter;
  #recordCounter = 1;
  readonly #versions: RawVersion[] = [];
  /** Certificates that it keeps to itself. */
  readonly #hidden: Uint8Array[] = [];
  readonly #highest = new Map<string, number>();
  readonly violations: string[] = [];
  readonly moves = new Map<string, number>();

  constructor(options: StolenWriterOptions) {
    this.#options = options;
    this.#raw = new RawWriter(options.stage, options.writer, `stolen ${options.writer}`);
    this.#reader = new RawWriter(options.stage, options.reader, 'stolen reader');
  }

  /** Its bucket, before anything goes wrong. */
  async openBucket(): Promise<void> {
    await this.#writeRecord();
  }

  /** Returns the correct nodes that took it. From then on the writer acts under it. */
  async #writeRecord(): Promise<readonly number[]> {
    const { k } = this.#options.stage.cluster.geometry;
    // Its bucket allows more than the cluster does.
    const record = this.#raw.record(this.#recordCounter, { geometries: [k, k + 1] });
    this.#recordCounter += 1;
    const cert = this.#certificate(record, await this.#receipts(record, this.#all()));
    const takers = cert === null ? [] : await this.#publish(cert, this.#all());
    if (cert !== null) for (const raw of [this.#raw, this.#reader]) raw.under(record.signed.manifest.stamp);
    return takers;
  }

  async run(moveCount: number): Promise<void> {
    const { stage, random } = this.#options;
    const moves = Object.entries(this.#repertoire());
    for (let i = 0; i < moveCount; i += 1) {
      await stage.clock.sleep(random.around(REST_MS));
      const [name, move] = random.pick(moves);
      this.moves.set(name, (this.moves.get(name) ?? 0) + 1);
      this.#options.trace.note('thief', name);
      await move(`stolen key ${random.below(KEYS)}`);
    }
    // Last, because nothing of this writer is taken afterwards.
    if (moveCount > 0 && random.chance(HOARD_SHARE)) await this.#hoard();
  }

  /**
   * I2: the highest version of each key that a correct node shows certified can be decoded from the correct
   * nodes alone. To be asked when all of them serve. As any reader does, it writes back what it has seen.
   */
  async check(): Promise<void> {
    const { correct, stage } = this.#options;
    const { k } = stage.cluster.geometry;
    for (let key = 0; key < KEYS; key += 1) {
      const shown = await this.#highestShown(`stolen key ${key}`);
      if (shown === undefined) continue;
      const { version, cert } = shown;
      await this.#publish(cert, correct);
      let holders = 0;
      for (const slot of correct) if (await this.#holds(slot, version)) holders += 1;
      if (holders < k) this.violations.push(`I2: the highest version of stolen key ${key} is on ${holders} correct nodes, and ${k} are needed`);
    }
  }

  #repertoire(): Readonly<Record<string, (key: string) => Promise<void>>> {
    return {
      writes: (key) => this.#write(key),
      'writes and hides': (key) => this.#write(key, true),
      'shows what it hid': () => this.#showHidden(),
      equivocates: (key) => this.#equivocate(key),
      'goes back': (key) => this.#goBack(key),
      'forges certificates': (key) => this.#forge(key),
      'forges manifests': (key) => this.#forgeManifest(key),
      'breaks rules': (key) => this.#breakRules(key),
      'sends other contents': (key) => this.#sendOther(key),
      'sends another body': (key) => this.#sendOtherBody(key),
      'asks for what was sworn off': (key) => this.#askAgain(key),
      'makes nodes forget': (key) => this.#makeForget(key),
      'reads for long': (key) => this.#lease(key),
      'asks for too much': (key) => this.#askTooMuch(key),
      'writes as a reader': (key) => this.#writeAsReader(key),
      'writes under an old record': (key) => this.#writeUnderOld(key),
    };
  }

  async #write(key: string, hides: boolean = false): Promise<void> {
    const { random } = this.#options;
    const version = this.#raw.version({ key, counter: this.#next(key), size: random.pick(SIZES), content: this.#fresh(key) });
    if (hides) {
      const cert = this.#certificate(version, await this.#receipts(version, this.#all()));
      if (cert !== null) this.#hidden.push(cert);
    } else await this.#certify(version, random.chance(0.5) ? this.#all() : this.#some());
  }

  async #showHidden(): Promise<void> {
    const [cert] = this.#options.random.shuffled(this.#hidden);
    if (cert !== undefined) await this.#publish(cert, this.#some());
  }

  /** Some nodes are asked for the one first, the others for the other; then each for what it was not asked. */
  async #equivocate(key: string): Promise<void> {
    const [one, other] = equivocation(this.#raw, key, this.#next(key));
    this.#versions.push(one, other);
    const slots = this.#options.random.shuffled(this.#all());
    const cut = this.#options.random.below(slots.length + 1);
    const [some, rest] = [slots.slice(0, cut), slots.slice(cut)];
    const receipts = [await this.#receipts(one, some), await this.#receipts(other, rest)];
    receipts[0]?.push(...(await this.#receipts(one, rest)));
    receipts[1]?.push(...(await this.#receipts(other, some)));
    for (const [index, version] of [one, other].entries()) {
      const cert = this.#certificate(version, receipts[index] ?? []);
      if (cert !== null) await this.#publish(cert, this.#some());
    }
  }

  /** Another content at a stamp that has been used, perhaps long ago (trap H5). */
  async #goBack(key: string): Promise<void> {
    const highest = this.#highest.get(key) ?? 0;
    if (highest === 0) return;
    const counter = 1 + this.#options.random.below(highest);
    const version = this.#raw.version({ key, counter, content: this.#fresh(key) });
    await this.#certify(version, this.#all());
  }

  /** Certificates that hold too little: fewer receipts, one twice, receipts that others should have signed. */
  async #forge(key: string): Promise<void> {
    const { stage, random, correct } = this.#options;
    const q = quorumSize(stage.cluster.geometry);
    const version = this.#raw.version({ key, counter: this.#next(key), content: this.#fresh(key) });
    this.#versions.push(version);
    const few = (await this.#receipts(version, random.shuffled(this.#all()).slice(0, q - 1))).slice(0, q - 1);
    const [first] = few;
    if (first === undefined) return;
    const forged = this.#all()
      .filter((slot) => few.every((receipt) => receipt.slot !== slot))
      .map((slot) => ({ ...first, slot, proof: this.#raw.sign(version.signed.manifest, NOBODY).proof }));
    for (const receipts of [few, Array.from({ length: q }, () => first), [...few, ...forged].slice(0, q)]) {
      const cert = this.#raw.certificate(version, receipts.toSorted((a, b) => a.slot - b.slot));
      for (const slot of await this.#publish(cert, correct)) this.violations.push(`node ${slot} takes a certificate without ${q} receipts for good`);
    }
  }

  /** Honest receipts, and a manifest that somebody else signed. */
  async #forgeManifest(key: string): Promise<void> {
    const version = this.#raw.version({ key, counter: this.#next(key), content: this.#fresh(key) });
    this.#versions.push(version);
    const receipts = await this.#receipts(version, this.#all());
    const cert = this.#certificate({ ...version, signed: this.#raw.sign(version.signed.manifest, NOBODY) }, receipts);
    if (cert === null) return;
    for (const slot of await this.#publish(cert, this.#options.correct)) this.violations.push(`node ${slot} takes a certificate of a manifest that its writer did not sign`);
  }

  async #breakRules(key: string): Promise<void> {
    const { random, correct } = this.#options;
    for (const [rule, amend] of random.shuffled(Object.entries(ILLEGAL)).slice(0, RULES_BROKEN)) {
      const version = this.#raw.version({ key, counter: this.#next(key), content: this.#fresh(key), amend });
      const signers = (await this.#receipts(version, this.#all())).filter(({ slot }) => correct.includes(slot));
      for (const { slot } of signers) this.violations.push(`node ${slot} signs a version with ${rule}`);
    }
  }

  /** Nodes are sent something else than the manifest commits to, or nothing. */
  async #sendOther(key: string): Promise<void> {
    const { random, correct } = this.#options;
    const [what, make] = random.pick(Object.entries({ withoutContent, withWrongCells, withOtherRows, withFewerStripes }));
    const isSmall = random.chance(0.5);
    const version = this.#raw.version({ key, counter: this.#next(key), size: isSmall ? 500 : 9_000, content: this.#fresh(key) });
    if (isSmall && make === withFewerStripes) return;
    const asking = make(this.#raw);
    const signers = (await this.#receipts(version, this.#all(), asking)).filter(({ slot }) => correct.includes(slot));
    for (const { slot } of signers) this.violations.push(`node ${slot} signs a version that it was asked for ${what}`);
  }

  /** A body that is not the one of the manifest. */
  async #sendOtherBody(key: string): Promise<void> {
    const version = this.#raw.version({ key, counter: this.#next(key), kind: 'INLINE', size: 200, content: this.#fresh(key) });
    const other = { ...version, body: Uint8Array.from(version.body, (byte) => byte ^ 1) };
    const signers = (await this.#receipts(other, this.#all())).filter(({ slot }) => this.#options.correct.includes(slot));
    for (const { slot } of signers) this.violations.push(`node ${slot} signs a version with another body`);
  }

  /** Some nodes promise NEVER to sign a stamp, and are asked to sign it nevertheless. */
  async #askAgain(key: string): Promise<void> {
    const { random, correct } = this.#options;
    const version = this.#raw.version({ key, counter: this.#next(key), content: this.#fresh(key) });
    const { keyId, stamp } = version.signed.manifest;
    const promised = new Set<number>();
    const slots = random.shuffled(this.#all());
    for (const slot of slots.slice(0, 1 + random.below(slots.length))) {
      const answer = await this.#ask(slot, { t: 'RESOLVE', keyId, stamp, promise: true });
      if (answer?.ok === true && correct.includes(slot)) promised.add(slot);
    }
    for (const { slot } of await this.#receipts(version, slots)) {
      if (promised.has(slot)) this.violations.push(`node ${slot} signs what it promised NEVER to sign`);
    }
  }

  /** Asks nodes to keep a version that it never reads to its end. */
  async #lease(key: string): Promise<void> {
    const version = this.#options.random.shuffled(this.#versions)[0];
    if (version === undefined) return this.#write(key);
    const { hash: manifestHash, manifest } = version.signed;
    const { keyId, stamp, contentId } = manifest;
    for (const slot of this.#all()) await this.#ask(slot, { t: 'FETCH', keyId, manifestHash, stamp, contentId, stripe: 0, leaseMs: Number.MAX_SAFE_INTEGER });
  }

  /** More of a log than there is, backwards, and certificates of keys that nobody has; nodes give what one answer may hold. */
  async #askTooMuch(key: string): Promise<void> {
    const { random, correct } = this.#options;
    const keyIds = Array.from({ length: CERTS_BATCH_MAX }, (_, i) => sha256(encode({ key, i })));
    for (const slot of correct) {
      for (const [from, to] of [[0, Number.MAX_SAFE_INTEGER], [random.below(1 << 20), 0], [Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]] as const) {
        const answer = await this.#ask(slot, { t: 'CHANGES', from, to });
        if (answer?.ok === true && answer.answer.leaves.length > CHANGES_LEAVES_MAX) this.violations.push(`node ${slot} gives ${answer.answer.leaves.length} leaves at once`);
      }
      const answer = await this.#ask(slot, { t: 'CERTS', keyIds });
      if (answer?.ok === true && answer.answer.certs.some((cert) => cert !== null)) this.violations.push(`node ${slot} gives certificates of keys that nobody wrote`);
    }
  }

  async #writeAsReader(key: string): Promise<void> {
    const version = this.#reader.version({ key: `${key} of a reader`, counter: 1, content: this.#fresh(key) });
    const signers = await this.#receipts(version, this.#options.correct, (slot, asked) => this.#reader.prepare(slot, asked));
    for (const { slot } of signers) this.violations.push(`node ${slot} signs a version of a member that may not write`);
  }

  /** Who holds a newer record of the bucket takes nothing under the older one (13.2). */
  async #writeUnderOld(key: string): Promise<void> {
    const { manifest: before } = this.#raw.version({ key, counter: 1 }).signed;
    const takers = await this.#writeRecord();
    const amend = (m: Manifest): Manifest => ({ ...m, bucketStamp: before.bucketStamp });
    const version = this.#raw.version({ key, counter: this.#next(key), content: this.#fresh(key), amend });
    for (const { slot } of await this.#receipts(version, takers)) this.violations.push(`node ${slot} signs a version under a record that has been replaced`);
  }

  /** Receipts for ever more content that is never certified (P9). */
  async #hoard(): Promise<void> {
    const { stage, correct, random } = this.#options;
    const { uncertifiedBytesMax } = stage.cluster.config;
    const { k } = stage.cluster.geometry;
    const signed = new Map<number, number>();
    // In one piece or uploaded: each way has its own check.
    const size = k * HOARDED_CELL_BYTES - (random.chance(0.5) ? SEALING_BYTES : 0);
    for (let i = 0; i * HOARDED_CELL_BYTES < 1.5 * uncertifiedBytesMax; i += 1) {
      const content = `hoard ${random.below(1 << 30)}`;
      const version = this.#raw.version({ key: `hoarded ${i}`, counter: 1, content, size, cellBytes: HOARDED_CELL_BYTES, alike: true });
      for (const { slot } of await this.#receipts(version, correct)) signed.set(slot, (signed.get(slot) ?? 0) + HOARDED_CELL_BYTES);
    }
    for (const [slot, bytes] of signed) {
      if (bytes > uncertifiedBytesMax) this.violations.push(`node ${slot} holds ${bytes} uncertified bytes of one writer, above ${uncertifiedBytesMax}`);
    }
  }

  /** A certificate is kept back while nodes are asked to let go of the version, with whatever licence is to be had. */
  async #makeForget(key: string): Promise<void> {
    const { random } = this.#options;
    const version = this.#raw.version({ key, counter: this.#next(key), content: this.#fresh(key) });
    this.#versions.push(version);
    const slots = random.shuffled(this.#all());
    const receipts = await this.#receipts(version, slots.slice(0, quorumSize(this.#options.stage.cluster.geometry)));
    const cert = this.#certificate(version, receipts);
    const { keyId, stamp } = version.signed.manifest;
    const resolutions: Resolutions[number][] = [];
    for (const slot of slots.toReversed()) {
      const answer = await this.#ask(slot, { t: 'RESOLVE', keyId, stamp, promise: true });
      if (answer?.ok === true) resolutions.push(answer.answer.resolution);
    }
    const forged = slots.map((slot) => this.#forgedPromise(slot, version));
    for (const licence of [resolutions.slice(0, 1), resolutions.slice(0, 2), resolutions, forged]) {
      for (const slot of slots) await this.#ask(slot, { t: 'ABORT', keyId, stamp, resolutions: licence });
    }
    if (cert !== null) await this.#publish(cert, this.#some());
  }

  /** NEVER in the name of a node, signed by nobody of the cluster. */
  #forgedPromise(slot: number, { signed: { manifest } }: RawVersion): Resolutions[number] {
    const { cluster } = this.#options.stage;
    const { keyId, stamp } = manifest;
    const body = encode({ v: 1, keyId, stamp, slot, epoch: cluster.epoch, prepared: null });
    return { body, proof: prove(cluster, NOBODY, 'resolution', body) };
  }

  #all(): readonly number[] {
    return this.#options.stage.cluster.slots.map(({ slot }) => slot);
  }

  #some(): readonly number[] {
    const { random } = this.#options;
    return random.shuffled(this.#all()).slice(0, 1 + random.below(this.#all().length));
  }

  #next(key: string): number {
    const counter = (this.#highest.get(key) ?? 0) + 1;
    this.#highest.set(key, counter);
    return counter;
  }

  #fresh(key: string): string {
    return `${key} ${this.#versions.length} ${this.#options.random.below(1 << 30)}`;
  }

  async #certify(version: RawVersion, holders: readonly number[]): Promise<void> {
    this.#versions.push(version);
    const cert = this.#certificate(version, await this.#receipts(version, this.#all()));
    if (cert !== null) await this.#publish(cert, holders);
  }

  /** Null when there are too few. */
  #certificate(version: RawVersion, receipts: readonly CertReceipt[]): Uint8Array | null {
    const q = quorumSize(this.#options.stage.cluster.geometry);
    if (receipts.length < q) return null;
    this.#versions.push(version);
    return this.#raw.certificate(version, receipts.slice(0, q).toSorted((a, b) => a.slot - b.slot));
  }

  async #receipts(version: RawVersion, slots: readonly number[], asking: Asking = (slot, asked) => this.#raw.prepare(slot, asked)): Promise<CertReceipt[]> {
    const receipts: CertReceipt[] = [];
    await Promise.all(
      slots.map(async (slot) => {
        const answer = await asking(slot, version).catch(() => null);
        if (answer?.ok === true) receipts.push({ slot, ...answer.answer });
      }),
    );
    return receipts;
  }

  /** Returns the correct nodes that took it. */
  async #publish(cert: Uint8Array, slots: readonly number[]): Promise<number[]> {
    const takers: number[] = [];
    for (const slot of slots) {
      const answer = await this.#raw.commit(slot, cert, EMPTY).catch(() => null);
      if (answer?.ok === true && this.#options.correct.includes(slot)) takers.push(slot);
    }
    return takers;
  }

  async #ask<T extends RequestType>(slot: number, request: Request & { readonly t: T }): Promise<Answer<T> | null> {
    return this.#raw.ask<T>(slot, request).catch(() => null);
  }

  async #highestShown(key: string): Promise<{ readonly version: RawVersion; readonly cert: Uint8Array } | undefined> {
    let highest: { readonly counter: number; readonly hash: Uint8Array; readonly bytes: Uint8Array } | undefined;
    for (const slot of this.#options.correct) {
      const answer = await this.#patiently(() => this.#raw.query(slot, key));
      if (answer?.ok !== true || answer.answer.cert === null) continue;
      const bytes = answer.answer.cert;
      const cert = decodeCertificate(bytes);
      if (!cert.ok) continue;
      const { hash, manifest } = cert.value.signed;
      // All stamps are this writer's, so the counter decides.
      if (highest === undefined || manifest.stamp.counter > highest.counter) highest = { counter: manifest.stamp.counter, hash, bytes };
    }
    const found = highest;
    const version = found === undefined ? undefined : this.#versions.find(({ signed }) => equal(signed.hash, found.hash));
    return found === undefined || version === undefined ? undefined : { version, cert: found.bytes };
  }

  /** Does it give every cell as the manifest commits to it? */
  async #holds(slot: number, version: RawVersion): Promise<boolean> {
    for (const [stripe, row] of version.cells.entries()) {
      const answer = await this.#patiently(() => this.#raw.fetch(slot, version, stripe));
      if (answer?.ok !== true || !equal(answer.payload, row[slot] ?? EMPTY)) return false;
    }
    return true;
  }

  /** A channel that failed while its node was away may fail once more before it connects again. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T | null> {
    for (let attempt = 0; attempt < CHECK_ATTEMPTS; attempt += 1) {
      const answer = await ask().catch(() => null);
      if (answer !== null) return answer;
      await this.#options.stage.clock.sleep(CHECK_PAUSE_MS);
    }
    return null;
  }
}
