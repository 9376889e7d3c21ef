/**
 * The protocol client: what a gateway or a tool uses to write, read, list and settle, against n storage nodes
 * of which f may lie (protocol 6). It holds no plaintext keys beyond an operation and no state that matters
 * after a crash except what it hands to the attempt journal. All input and output goes through ports.
 */
import { anchorOn, heldAnchor } from './anchor.ts';
import type { AnchorVerdict } from './anchor.ts';
import type { SignedCheckpoint } from '../log/checkpoint.ts';
import { isOperationError } from '../base/errors.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import type { Checkpoint } from '../log/checkpoint.ts';
import { BatchSigner } from '../protocol/batch-signer.ts';
import type { SignedManifest } from '../protocol/manifest.ts';
import type { Stamp } from '../protocol/stamp.ts';
import type { Attempt, AttemptJournal } from './attempts.ts';
import type { Certified, CertifiedVerdict } from './certificates.ts';
import { fetchCertificates } from './certs.ts';
import type { WantedCertificate } from './certs.ts';
import { commit } from './commit.ts';
import type { CommitOutcome } from './commit.ts';
import type { ClientContext } from './context.ts';
import { makeContext } from './make-context.ts';
import type { ContextOptions } from './make-context.ts';
import { LogFollower } from './follow.ts';
import type { TakeEntries, TakeLeaves } from './follow.ts';
import { beginsWith, committedAt } from './history.ts';
import type { Beginning, LoggedCommit } from './history.ts';
import type { SlotHealth } from './peers.ts';
import { head, headAt, read } from './read.ts';
import type { ReadOptions, ReadPlan, ReadResult, ReadTrust, VersionHead } from './read.ts';
import { endLeftoverStages } from './leftover-stages.ts';
import { resolve } from './resolve.ts';
import type { Resolution, ResolvePolicy } from './resolve.ts';
import { revocations, revoke, spreadRevocations } from './revocation.ts';
import type { RevokedWriter, RevokeOutcome } from './revocation.ts';
import { WriterSessions } from './session.ts';
import type { Suspicion } from './suspicions.ts';
import { writeSlot } from './slot-write.ts';
import type { SlotWriteRequest, SlotWriteResult } from './slot-write.ts';
import { Turns } from './turns.ts';
import { write } from './write.ts';
import type { Writer, WriteRequest, WriteResult } from './write.ts';

export interface ClientOptions extends ContextOptions {
  readonly gatewayId: Uint8Array;
  readonly signingKey: SigningKey;
  readonly journal: AttemptJournal;
  readonly trust?: ReadTrust;
}

/** How long `close` waits for slow nodes before it cuts them off. */
const DRAIN_MS = 2_000;

/** Trusts nothing: every read checks the encoding of what it reads. */
const NO_TRUST: ReadTrust = { trusted: () => false, onChecked: () => undefined };

export class ProtocolClient {
  readonly #ctx: ClientContext;
  readonly #options: ClientOptions;
  readonly #sessions: WriterSessions;
  readonly #signer: BatchSigner;
  readonly #turns = new Turns();
  readonly #stages = new Set<string>();
  #follower: LogFollower | null = null;

  constructor(options: ClientOptions) {
    const { cluster, random, gatewayId, signingKey } = options;
    this.#options = options;
    this.#ctx = makeContext(options, (slot) => this.#follower?.seen(slot) ?? null);
    this.#sessions = new WriterSessions(gatewayId, random);
    this.#signer = new BatchSigner(signingKey, cluster.id);
  }

  /** See write.ts: in a PLAIN bucket. */
  write(request: WriteRequest): Promise<WriteResult> {
    return write(this.#writer(), request);
  }

  /** See slot-write.ts: in a serialised bucket. */
  writeSlot(request: SlotWriteRequest): Promise<SlotWriteResult> {
    return writeSlot(this.#writer(), request);
  }

  #writer(): Writer {
    const { journal } = this.#options;
    const release = (attempt: Attempt): void => this.#release(attempt);
    const [ctx, sessions, signer, turns] = [this.#ctx, this.#sessions, this.#signer, this.#turns];
    return { ctx, sessions, signer, turns, stages: this.#stages, journal, release };
  }

  /** The newest version of a key, tombstones too, held by c nodes on return; null: none. Throws NO_QUORUM. */
  head(keyId: Uint8Array, signal?: AbortSignal): Promise<Certified | null> {
    return head(this.#ctx, keyId, signal);
  }

  /** One version by its stamp. See read.ts. */
  headAt(keyId: Uint8Array, at: Stamp, signal?: AbortSignal): Promise<VersionHead> {
    return headAt(this.#ctx, keyId, at, signal);
  }

  /** Anchors the newest checkpoint of this gateway's audit log on every node. One verdict a slot. */
  anchor(checkpoint: SignedCheckpoint, consistencyFrom: (size: number) => Promise<readonly Uint8Array[] | null>): Promise<readonly AnchorVerdict[]> {
    const { gatewayId } = this.#sessions;
    return Promise.all(this.#ctx.peers.all().map((slot) => anchorOn(this.#ctx, slot, gatewayId, checkpoint, consistencyFrom)));
  }

  /** What each slot keeps of a gateway's audit log: null, nothing; undefined, no answer. */
  anchorsOf(gatewayId: Uint8Array): Promise<readonly (SignedCheckpoint | null | undefined)[]> {
    return Promise.all(this.#ctx.peers.all().map((slot) => heldAnchor(this.#ctx, slot, gatewayId)));
  }

  /** See read.ts. */
  read(
    keyId: Uint8Array,
    plan: (signed: SignedManifest) => Promise<ReadPlan> | ReadPlan,
    options: ReadOptions = {},
  ): Promise<ReadResult> {
    return read(this.#ctx, this.#options.trust ?? NO_TRUST, keyId, plan, options);
  }

  /** See resolve.ts. */
  resolve(keyId: Uint8Array, stamp: Stamp, policy: ResolvePolicy): Promise<Resolution> {
    return resolve(this.#ctx, keyId, stamp, policy, { sessions: this.#sessions, signer: this.#signer });
  }

  /** See leftover-stages.ts. */
  endLeftoverStages(ageMs: number): Promise<number> {
    return endLeftoverStages(this.#writer(), ageMs);
  }

  /** See revocation.ts. */
  revoke(document: Uint8Array): Promise<RevokeOutcome> {
    return revoke(this.#ctx, document);
  }

  /** See revocation.ts. */
  revocations(): Promise<readonly RevokedWriter[]> {
    return revocations(this.#ctx);
  }

  /** See revocation.ts. */
  spreadRevocations(): Promise<readonly RevokedWriter[]> {
    return spreadRevocations(this.#ctx);
  }

  /** Begins to follow the logs; at most one follower a client, whose checkpoints its requests then quote. */
  follow(take: TakeEntries, saved?: ReadonlyMap<number, Uint8Array>): LogFollower {
    this.#follower = new LogFollower(this.#ctx, take, saved);
    return this.#follower;
  }

  /** Follows the logs beside, for another purpose; its checkpoints are not quoted. */
  followLeaves(take: TakeLeaves, saved?: ReadonlyMap<number, Uint8Array>): LogFollower {
    return new LogFollower(this.#ctx, () => undefined, saved, take);
  }

  /** See history.ts. */
  committedAt(slot: number, entries: readonly LoggedCommit[]): Promise<readonly (Certified | null)[]> {
    return committedAt(this.#ctx, slot, entries);
  }

  /** See history.ts. */
  beginsWith(slot: number, checkpoint: Checkpoint): Promise<Beginning> {
    return beginsWith(this.#ctx, slot, checkpoint);
  }

  certificates(wanted: readonly WantedCertificate[]): Promise<readonly (Certified | null)[]> {
    return fetchCertificates(this.#ctx, wanted);
  }

  /** Verifies an encoded certificate, for instance one kept by an index. */
  openCertificate(bytes: Uint8Array): CertifiedVerdict {
    return this.#ctx.certificates.open(bytes);
  }

  /**
   * Writes a certificate back (6.6): `shown` are slots known to hold it or a higher one. `ok` when c hold it.
   */
  writeBack(certified: Certified, shown?: ReadonlySet<number>): Promise<CommitOutcome> {
    return commit(this.#ctx, certified, shown === undefined ? {} : { shown });
  }

  /** What was detected about whom, by slot. */
  suspicions(): readonly Suspicion[] {
    return this.#ctx.peers.suspicions.list();
  }

  health(): readonly SlotHealth[] {
    return this.#ctx.peers.health();
  }

  /** Gives what is under way behind a moment to end, then closes the channels. */
  async close(): Promise<void> {
    const { background, clock, peers } = this.#ctx;
    const drained = background.drain();
    await Promise.race([drained, clock.sleep(DRAIN_MS)]);
    await peers.close();
    await drained;
  }

  #release(attempt: Attempt): void {
    this.#ctx.background.run('release', async () => {
      try {
        const { outcome } = await this.resolve(attempt.keyId, attempt.stamp, 'release');
        if (outcome !== 'undecided') await this.#options.journal.settled(attempt);
      } catch (error) {
        if (!isOperationError(error)) throw error;
        // The journal keeps the attempt as abandoned: whoever settles orphans comes back to it.
        this.#ctx.telemetry.count('holdfast_client_releases_failed_total');
      }
    });
  }
}
