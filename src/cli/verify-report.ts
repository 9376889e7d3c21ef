/**
 * What `holdfast verify` found, about whom: counts for each slot and each kind of finding, and the first few
 * in words. A finding is what this check saw itself; nothing is taken from the word of another node.
 */
import { hex } from '../base/bytes.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { formatBytes, formatTable } from './terminal.ts';

export type FindingKind =
  /** The node says that it lacks a piece that it gave a receipt for. */
  | 'missing'
  /** It lacks a piece that it never promised: it was slow or down when the version was written. No fault of its. */
  | 'incomplete'
  /** The node says that its own piece is damaged on its disk. */
  | 'damaged'
  /** The node sent a piece that the manifest does not commit to. */
  | 'wrong'
  /** A certificate that does not verify, or none where its own log says that it has one. */
  | 'certificate'
  /** Its log contradicts itself, its checkpoint or its receipts. */
  | 'log'
  /** It did not answer; what it holds could not be looked at. */
  | 'unanswered';

const FAULTS: readonly FindingKind[] = ['missing', 'damaged', 'wrong', 'certificate', 'log', 'unanswered'];
export const FINDING_KINDS: readonly FindingKind[] = [...FAULTS, 'incomplete'];
const EXAMPLES_MAX = 3;

export interface SlotReport {
  readonly slot: number;
  readonly id: string;
  readonly address: string;
  reachable: boolean;
  cellsGood: number;
  bytesGood: number;
  logSize: number;
  readonly found: Record<FindingKind, number>;
  readonly examples: string[];
}

/** What was found about one key, until it is known whether it counts: a write may be on its way to the last slots. */
export class Draft {
  readonly notes: { readonly slot: number; readonly kind: FindingKind; readonly detail: string }[] = [];
  readonly goods: { readonly slot: number; readonly bytes: number }[] = [];
  versions = 0;
  contents = 0;
  weak = 0;
  unreadable = 0;
  readonly writers: string[] = [];

  note(slot: number, kind: FindingKind, detail: string): void {
    this.notes.push({ slot, kind, detail });
  }

  good(slot: number, bytes: number): void {
    this.goods.push({ slot, bytes });
  }

  /** Is a piece missing that may yet arrive? */
  get isUnsettled(): boolean {
    return this.notes.some(({ kind }) => kind === 'missing' || kind === 'incomplete');
  }
}

export class VerifyReport {
  readonly slots: readonly SlotReport[];
  versions = 0;
  contents = 0;
  /** Versions of which fewer than k + f pieces are good: f more faults could take them away (protocol 1). */
  weak = 0;
  /** Versions of which fewer than k pieces are good: they cannot be read back. */
  unreadable = 0;
  /** Findings about a writer: its manifests or encodings. */
  readonly writers: string[] = [];

  constructor(cluster: Cluster) {
    this.slots = cluster.slots.map(({ slot, nodeId, addresses }) => ({
      slot,
      id: hex(nodeId),
      address: addresses[0] ?? '',
      reachable: true,
      cellsGood: 0,
      bytesGood: 0,
      logSize: 0,
      found: { missing: 0, damaged: 0, wrong: 0, certificate: 0, log: 0, unanswered: 0, incomplete: 0 },
      examples: [],
    }));
  }

  note(slot: number, kind: FindingKind, detail: string): void {
    const report = this.#slot(slot);
    report.found[kind] += 1;
    if (report.found[kind] <= EXAMPLES_MAX) report.examples.push(`${kind}: ${detail}`);
  }

  good(slot: number, bytes: number): void {
    const report = this.#slot(slot);
    report.cellsGood += 1;
    report.bytesGood += bytes;
  }

  isReachable(slot: number): boolean {
    return this.#slot(slot).reachable;
  }

  lose(slot: number, detail: string): void {
    const report = this.#slot(slot);
    if (!report.reachable) return;
    report.reachable = false;
    this.note(slot, 'unanswered', detail);
  }

  logFollowed(slot: number, size: number): void {
    this.#slot(slot).logSize = size;
  }

  take(draft: Draft): void {
    for (const { slot, kind, detail } of draft.notes) this.note(slot, kind, detail);
    for (const { slot, bytes } of draft.goods) this.good(slot, bytes);
    this.versions += draft.versions;
    this.contents += draft.contents;
    this.weak += draft.weak;
    this.unreadable += draft.unreadable;
    this.writers.push(...draft.writers);
  }

  get isDamaged(): boolean {
    return this.unreadable > 0 || this.weak > 0 || this.writers.length > 0 || this.accused().length > 0;
  }

  /** Slots at fault. */
  accused(): readonly SlotReport[] {
    return this.slots.filter(({ found }) => FAULTS.some((kind) => found[kind] > 0));
  }

  toJson(): Record<string, unknown> {
    const { versions, contents, weak, unreadable, writers, isDamaged } = this;
    const accused = this.accused().map(({ slot }) => slot);
    return { damaged: isDamaged, accused, versions, contents, weak, unreadable, writers, nodes: this.slots };
  }

  toText(): string {
    const head = ['node', 'answers', 'log entries', 'good cells', 'bytes', ...FINDING_KINDS];
    const rows = this.slots.map((slot) => [
      String(slot.slot),
      slot.reachable ? 'yes' : 'NO',
      String(slot.logSize),
      String(slot.cellsGood),
      formatBytes(slot.bytesGood),
      ...FINDING_KINDS.map((kind) => (slot.found[kind] === 0 ? '-' : String(slot.found[kind]))),
    ]);
    const lines = [`${this.versions} versions with ${this.contents} contents were checked on ${this.slots.length} nodes`, formatTable([head, ...rows])];
    for (const slot of this.slots.filter(({ examples }) => examples.length > 0)) lines.push(`node ${slot.slot} (${slot.address}):`, ...slot.examples.map((text) => `  ${text}`));
    for (const text of this.writers) lines.push(`writer: ${text}`);
    if (this.weak > 0) lines.push(`${this.weak} versions have fewer than k + f good pieces`);
    if (this.unreadable > 0) lines.push(`${this.unreadable} versions CANNOT be read back`);
    if (!this.isDamaged) lines.push('no damage was found');
    return lines.join('\n');
  }

  #slot(slot: number): SlotReport {
    const report = this.slots[slot];
    if (report === undefined) throw new RangeError(`slot ${slot} is not in the cluster`);
    return report;
  }
}
