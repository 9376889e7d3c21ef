/**
 * Keeps the inventory up with the nodes' logs (protocol 13.8). A log says what its node has promised, holds,
 * lost and let go of; a version counts only by its certificate, fetched once from whichever node gives it.
 * What a log says of its own node's cells is believed until an audit says otherwise: it is the node's word,
 * signed, and a lie about it is found by challenges.
 */
import { EMPTY, mapKey } from '../../base/bytes.ts';
import { isOperationError } from '../../base/errors.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../../base/limits.ts';
import type { Clock, Telemetry } from '../../base/ports.ts';
import { CertificateFetcher } from '../../client/certificate-fetcher.ts';
import type { Certified } from '../../client/certificates.ts';
import type { ControllerClient } from '../../client/controller-client.ts';
import type { LogFollower } from '../../client/follow.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import type { Entry } from '../../log/entry-types.ts';
import { decode } from '../../protocol/encoding.ts';
import { decodeCommitted, decodeEvict, decodeHole, decodeRepaired } from '../../protocol/log-entries.ts';
import type { CommittedBody } from '../../protocol/log-entries.ts';
import { partTableSchema } from '../../protocol/manifest.ts';
import { decodeReceipt } from '../../protocol/receipt.ts';
import { decodeStaged } from '../../protocol/slot.ts';
import type { AtRisk, Inventory } from './inventory.ts';
import { WHOLE_CONTENT } from './rows.ts';

export interface LogReaderOptions {
  readonly inventory: Inventory;
  readonly client: ControllerClient;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** A version has cells that are lost, or not known to be there. */
  readonly onRisk: (risk: AtRisk) => Promise<void>;
}

/** Certificates that are asked for again in one round. */
const MISSING_BATCH = 64;

export class LogReader {
  readonly #options: LogReaderOptions;
  readonly #fetcher: CertificateFetcher;
  readonly #logs: LogFollower;
  /** When each slot's log was last followed to its end, Unix milliseconds: the time the call began. */
  readonly followedMs: number[];
  readonly #savedSize: number[];
  /** Where asking again goes on. */
  #missedUpTo: Uint8Array = EMPTY;

  private constructor(options: LogReaderOptions, saved: ReadonlyMap<number, Uint8Array>) {
    this.#options = options;
    this.#fetcher = new CertificateFetcher(options.client);
    this.#logs = options.client.follow((slot, leaves) => this.#take(slot, leaves), saved);
    this.followedMs = Array.from({ length: options.inventory.n }, () => 0);
    this.#savedSize = Array.from({ length: options.inventory.n }, () => -1);
  }

  /** Goes on where the inventory ends. */
  static async open(options: LogReaderOptions): Promise<LogReader> {
    return new LogReader(options, await options.inventory.tails());
  }

  /** Leaves of a slot's log that were taken in. */
  size(slot: number): number {
    return this.#logs.size(slot);
  }

  /** Follows every log to its end, as far as its node lets it. Returns how many were. */
  async round(): Promise<number> {
    const { inventory, telemetry } = this.#options;
    const followed = await Promise.all(
      this.followedMs.map(async (_, slot) => {
        const startMs = this.#options.clock.nowMs();
        const verdict = await this.#logs.fresh(slot);
        if (!verdict.ok) {
          telemetry.event('debug', 'log not followed', { slot, reason: verdict.reason });
          return false;
        }
        this.followedMs[slot] = startMs;
        const bytes = this.#logs.serialise(slot);
        if (bytes !== null && this.#savedSize[slot] !== verdict.size) await inventory.saveTail(slot, bytes);
        this.#savedSize[slot] = verdict.size;
        return true;
      }),
    );
    return followed.filter(Boolean).length;
  }

  /** Asks again for certificates that logs have named and nobody gave. */
  async fetchMissing(): Promise<void> {
    const { inventory } = this.#options;
    const missing = await inventory.missing(this.#missedUpTo, MISSING_BATCH);
    this.#missedUpTo = missing.length < MISSING_BATCH ? EMPTY : (missing.at(-1)?.hash ?? EMPTY);
    await Promise.all(missing.map(({ hash, row }) => this.#fetch(hash, row.keyId, row.stamp, row.slot)));
  }

  /** The contents that a version lists, once. False: its table is not to be had now. */
  async readTable(certified: Certified): Promise<boolean> {
    const { client, inventory, telemetry } = this.#options;
    try {
      const body = await client.body(certified);
      if (body.kind === 'superseded') {
        await inventory.take(body.by);
        return true;
      }
      const decoded = decode(partTableSchema, body.value, FRAME_PAYLOAD_BYTES_MAX);
      // The hash was right: it is the writer's doing, and there is nothing to keep.
      if (!decoded.ok) telemetry.event('warn', 'a part table is malformed', { reason: decoded.reason });
      await inventory.takeTable(certified.signed.hash, decoded.ok ? decoded.value : []);
      return true;
    } catch (error) {
      if (!isOperationError(error)) throw error;
      telemetry.event('debug', 'a part table cannot be read now', { error: error.message });
      return false;
    }
  }

  async #take(slot: number, leaves: readonly Uint8Array[]): Promise<void> {
    const { inventory } = this.#options;
    const entries = leaves.flatMap((leaf) => decodeEntry(leaf) ?? []);
    // Before what rests on them: a stage says that the content is here, a receipt that the version is.
    for (const { type, body } of entries) {
      const staged = type === 'STAGED' ? decodeStaged(body) : null;
      if (staged?.ok === true) await inventory.staged(slot, staged.value.stageId, staged.value.contentId);
    }
    const prepared = new Map<string, Uint8Array>();
    for (const { type, body } of entries) {
      const receipt = type === 'PREPARED' ? decodeReceipt(body) : null;
      if (receipt?.ok === true) prepared.set(mapKey(receipt.value.manifestHash), receipt.value.manifestHash);
    }
    await inventory.prepared(slot, [...prepared.values()]);
    const committed = entries.flatMap(({ type, body }) => {
      const decoded = type === 'COMMITTED' ? decodeCommitted(body) : null;
      return decoded?.ok === true ? [decoded.value] : [];
    });
    await Promise.all(committed.map((entry) => this.#committed(slot, entry)));
    for (const entry of entries) await this.#lostOrBack(slot, entry);
  }

  async #committed(slot: number, { keyId, stamp, manifestHash }: CommittedBody): Promise<void> {
    const { inventory } = this.#options;
    if ((await inventory.version(manifestHash)) !== undefined) return inventory.committed(slot, manifestHash);
    if (await inventory.hasEnded(keyId, stamp)) return;
    await this.#fetch(manifestHash, keyId, stamp, slot);
  }

  async #fetch(hash: Uint8Array, keyId: Uint8Array, stamp: CommittedBody['stamp'], slot: number): Promise<void> {
    const { inventory } = this.#options;
    const exact = await this.#fetcher.fetch(keyId, stamp, slot, true);
    if (exact !== null) return this.#takeVersion(exact);
    // It may have ended meanwhile: what is there now says so.
    const newest = await this.#fetcher.fetch(keyId, stamp, slot);
    if (newest !== null) await this.#takeVersion(newest);
    if (await inventory.hasEnded(keyId, stamp)) await inventory.notMissing(hash);
    else if ((await inventory.version(hash)) === undefined) await inventory.missed(hash, { keyId, stamp, slot });
  }

  async #takeVersion(certified: Certified): Promise<void> {
    await this.#options.inventory.take(certified);
    if (certified.signed.manifest.kind === 'TABLE') await this.readTable(certified);
  }

  /** What the node says of cells that it lost, let go of, or has again. */
  async #lostOrBack(slot: number, { type, body }: Entry): Promise<void> {
    const { inventory, onRisk } = this.#options;
    if (type === 'HOLE') {
      const hole = decodeHole(body);
      if (!hole.ok) return;
      for (const risk of await inventory.noteContent(hole.value.contentId, hole.value.stripe, slot, 'LOST')) await onRisk(risk);
      return;
    }
    if (type === 'REPAIRED') {
      const repaired = decodeRepaired(body);
      if (repaired.ok) await this.#repaired(slot, repaired.value);
      return;
    }
    if (type !== 'EVICT') return;
    const evicted = decodeEvict(body);
    const row = evicted.ok ? await inventory.version(evicted.value.manifestHash) : undefined;
    if (!evicted.ok || row === undefined) return;
    // It knows of a newer version, or it is wrong: asked for the content it must say which.
    const risk = await inventory.note(evicted.value.manifestHash, [{ place: 0, stripe: WHOLE_CONTENT, slot }], 'UNKNOWN');
    if (risk !== null) await onRisk(risk);
  }

  /** The content of a version came after its certificate, or a cell was given back: an audit will see it. */
  async #repaired(slot: number, { contentId, manifestHash, stripe }: { readonly contentId: Uint8Array; readonly manifestHash: Uint8Array; readonly stripe?: number | undefined }): Promise<void> {
    const { inventory, onRisk } = this.#options;
    if (stripe === undefined) {
      await inventory.contentCame(manifestHash, contentId, slot);
      return;
    }
    for (const risk of await inventory.backAgain(contentId, stripe, slot)) await onRisk(risk);
  }
}
