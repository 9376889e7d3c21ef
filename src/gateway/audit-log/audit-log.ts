/**
 * A gateway's audit log: every request, refusal and act of an operator, in one append-only Merkle tree. A change
 * is in it, on disk, before it is acknowledged; the rest is written within a second, so that a crash loses at
 * most the last second of reads and refusals. What cannot be written is counted, and the count is an entry of its
 * own. Checkpoints of the tree are signed by the gateway and anchored on the nodes (anchors.ts), so a gateway
 * cannot change or cut its history unseen.
 */
import { assert } from '../../base/assert.ts';
import { describeError } from '../../base/errors.ts';
import { utf8 } from '../../base/bytes.ts';
import type { Clock, Disk, Telemetry, Timer } from '../../base/ports.ts';
import type { SigningKey } from '../../crypto/primitives.ts';
import { signCheckpoint } from '../../log/checkpoint.ts';
import type { SignedCheckpoint } from '../../log/checkpoint.ts';
import { ed25519Signer } from '../../log/signed-note.ts';
import { PartialTree } from '../../merkle/partial-tree.ts';
import { Frontier, leafHash } from '../../merkle/tree.ts';
import { auditOrigin } from '../../log/anchor.ts';
import type { AnsweredRequest, AuditTrail } from '../s3/port/audit-trail.ts';
import { encodeAuditEntry, keyHashOf, networkOf } from './entry.ts';
import type { AuditEntry } from './entry.ts';
import { AUDIT_FOLDER, OpenSegment, readSegment, segmentPath, segmentsOf } from './segments.ts';

/** Entries that are no changes wait this long for others. */
const FLUSH_MS = 1_000;
/** Entries that may wait for the disk; more are counted and named by a gap. */
const WAITING_MAX = 20_000;
/** Segments kept, of 4,096 entries each: some 4 GB at most, half of that as a rule. */
export const AUDIT_SEGMENTS_KEPT = 2_048;
export const CHECKPOINT_PATH: string = `${AUDIT_FOLDER}/checkpoint`;

export interface AuditLogPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly clusterId: Uint8Array;
  readonly gatewayId: Uint8Array;
  readonly signingKey: SigningKey;
  /** Of the owner: under it names of objects are hashed. */
  readonly auditKey: Uint8Array;
  readonly segmentsKept?: number;
}

interface Waiting {
  readonly entry: Uint8Array;
  readonly settle: ((error: Error | null) => void) | null;
}

export interface AuditLogStatus {
  readonly size: number;
  /** Entries that could not be written since the start. */
  readonly lost: number;
}

export class AuditLog implements AuditTrail {
  readonly #ports: AuditLogPorts;
  readonly #segments: number[];
  #segment: OpenSegment;
  #tree: Frontier;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;
  #timer: Timer | null = null;
  /** Since the last gap that was written. */
  #unnamed = 0;
  #lost = 0;
  #isClosed = false;

  private constructor(ports: AuditLogPorts, segments: number[], segment: OpenSegment, tree: Frontier) {
    this.#ports = ports;
    this.#segments = segments;
    this.#segment = segment;
    this.#tree = tree;
  }

  /**
   * Opens or creates it, and notes the start of this process. Errors: CORRUPT when the last segment is damaged
   * (what is there is evidence, and is never thrown away), and those of the disk.
   */
  static async open(ports: AuditLogPorts, version: string): Promise<AuditLog> {
    const { disk, clock } = ports;
    const segments = [...(await segmentsOf(disk))];
    const last = segments.at(-1);
    let log: AuditLog;
    if (last === undefined) {
      const tree = new Frontier();
      log = new AuditLog(ports, [0], await OpenSegment.create(disk, tree), tree);
    } else {
      const read = await readSegment(disk, last);
      for (const entry of read.entries) read.before.append(leafHash(entry));
      log = new AuditLog(ports, segments, await OpenSegment.reopen(disk, last, read), read.before);
    }
    await log.#add({ v: 1, t: 'start', atMs: clock.nowMs(), version }, true);
    return log;
  }

  get status(): AuditLogStatus {
    return { size: this.#tree.size, lost: this.#lost };
  }

  /** As AuditTrail. */
  note(request: AnsweredRequest): Promise<void> {
    const { bucket = null, key, remoteAddress } = request;
    return this.#add(
      {
        v: 1,
        t: 'request',
        atMs: this.#ports.clock.nowMs(),
        requestId: request.requestId.slice(0, 64),
        operation: request.operation,
        bucket: bucket?.slice(0, 255) ?? null,
        keyHash: bucket === null || key === undefined ? null : keyHashOf(this.#ports.auditKey, bucket, key),
        accessKeyId: request.accessKeyId?.slice(0, 128) ?? null,
        status: request.status,
        code: request.code?.slice(0, 64) ?? null,
        bytes: request.bytes,
        versionId: request.versionId?.slice(0, 128) ?? null,
        network: remoteAddress === undefined ? null : networkOf(remoteAddress),
      },
      request.isChange,
    );
  }

  /** What an operator did; durable on return. */
  noteAdmin(action: string, subject: string): Promise<void> {
    return this.#add({ v: 1, t: 'admin', atMs: this.#ports.clock.nowMs(), action, subject: subject.slice(0, 255) }, true);
  }

  /** Signs the tree as it is on disk, and keeps the note beside the segments. */
  async checkpoint(): Promise<SignedCheckpoint> {
    const { disk, clusterId, gatewayId, signingKey } = this.#ports;
    const origin = auditOrigin(clusterId, gatewayId);
    const { size } = this.#tree;
    const signed = signCheckpoint({ origin, size, root: this.#tree.root(), nonce: null }, ed25519Signer(origin, signingKey));
    await disk.writeFile(CHECKPOINT_PATH, utf8(signed.note));
    return signed;
  }

  /** Path from the tree of an earlier size to the present one; null where its segment is gone, or it never was. */
  async consistencyFrom(oldSize: number): Promise<readonly Uint8Array[] | null> {
    const { size } = this.#tree;
    if (oldSize === size || oldSize === 0) return [];
    const tree = oldSize > size ? null : await treeFrom(this.#ports.disk, this.#segments, oldSize, size);
    return tree?.consistency(oldSize) ?? null;
  }

  /** Writes what waits, and ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    while (this.#waiting.length > 0 || this.#writing !== null) await this.#flush();
    await this.#segment.close();
  }

  #add(entry: AuditEntry, isChange: boolean): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX && !isChange) {
      this.#lose(1);
      return Promise.resolve();
    }
    const bytes = encodeAuditEntry(entry);
    if (!isChange) {
      this.#waiting.push({ entry: bytes, settle: null });
      this.#timer ??= this.#ports.clock.after(FLUSH_MS, () => {
        this.#timer = null;
        void this.#flush();
      });
      return Promise.resolve();
    }
    const written = new Promise<void>((resolve, reject) => {
      const settle = (error: Error | null): void => (error === null ? resolve() : reject(error));
      this.#waiting.push({ entry: bytes, settle });
    });
    void this.#flush();
    return written;
  }

  #lose(count: number): void {
    this.#unnamed += count;
    this.#lost += count;
    this.#ports.telemetry.count('audit_entries_lost', {}, count);
  }

  /** One write after the other; what comes meanwhile shares the next. */
  #flush(): Promise<void> {
    this.#writing ??= this.#writeAll().then(() => {
      this.#writing = null;
      // What came after the last look, and found a write under way.
      if (this.#waiting.length > 0 && !this.#isClosed) void this.#flush();
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      if (this.#segment.room < 2) await this.#turn().catch((error: unknown) => this.#failed(error));
      const batch = this.#waiting.splice(0, Math.max(1, this.#segment.room - 1));
      const gap = this.#unnamed;
      const entries = batch.map(({ entry }) => entry);
      if (gap > 0) entries.unshift(encodeAuditEntry({ v: 1, t: 'gap', atMs: this.#ports.clock.nowMs(), lost: gap }));
      try {
        await this.#segment.append(entries);
        this.#unnamed -= gap;
        for (const entry of entries) this.#tree.append(leafHash(entry));
        for (const { settle } of batch) settle?.(null);
      } catch (error) {
        this.#failed(error);
        // A change is refused, and was not silently done: its request ends with an error. The rest is counted.
        this.#lose(batch.filter(({ settle }) => settle === null).length);
        const reason = error instanceof Error ? error : new Error(describeError(error));
        for (const { settle } of batch) settle?.(reason);
        if (this.#isClosed) return;
      }
    }
  }

  #failed(error: unknown): void {
    this.#ports.telemetry.count('audit_write_failures');
    this.#ports.telemetry.event('error', 'the audit log cannot be written', { error: describeError(error) });
  }

  /** On to the next segment; the oldest goes when there are too many. */
  async #turn(): Promise<void> {
    const { disk, segmentsKept = AUDIT_SEGMENTS_KEPT } = this.#ports;
    assert(segmentsKept >= 2, 'the segment that is written is kept, and the one before it');
    const next = await OpenSegment.create(disk, this.#tree);
    await this.#segment.close();
    this.#segment = next;
    this.#segments.push(this.#tree.size);
    while (this.#segments.length > segmentsKept) {
      const [oldest = 0] = this.#segments;
      await disk.remove(segmentPath(oldest));
      this.#segments.shift();
    }
  }
}

/** The tree of the first `size` entries, known one by one from the segment on in which `from` stands. */
async function treeFrom(disk: Disk, segments: readonly number[], from: number, size: number): Promise<PartialTree | null> {
  const place = segments.findLastIndex((first) => first <= from);
  const first = segments[place];
  if (first === undefined) return null;
  const leaves: Uint8Array[] = [];
  let before: Frontier | undefined;
  for (const one of segments.slice(place)) {
    const segment = await readSegment(disk, one);
    before ??= segment.before;
    for (const entry of segment.entries) leaves.push(leafHash(entry));
  }
  return before === undefined ? null : new PartialTree(before, leaves.slice(0, size - first));
}
