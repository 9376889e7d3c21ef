/**
 * What becomes of the answers to challenges: a lost cell goes into the inventory, and to repair; what a node has
 * signed against itself becomes evidence, a few pieces a day and node, because a node that lost a disk would
 * otherwise be proven to have lost it once for every cell.
 */
import { isOperationError } from '../base/errors.ts';
import type { Clock, Telemetry } from '../base/ports.ts';
import type { AuditVerdict } from '../client/audit.ts';
import type { Certified } from '../client/certificates.ts';
import type { ControllerClient } from '../client/controller-client.ts';
import type { AtRisk, Inventory } from './inventory/inventory.ts';
import type { CellRef } from './inventory/inventory-view.ts';
import type { HolePlace } from './inventory/rows.ts';
import { WHOLE_CONTENT } from './inventory/rows.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Pieces of evidence about one node and day. */
const EVIDENCE_MAX = 8;

export interface WitnessOptions {
  readonly inventory: Inventory;
  readonly client: ControllerClient;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly onRisk: (risk: AtRisk) => Promise<void>;
}

export class Witness {
  readonly #options: WitnessOptions;
  /** When evidence was made lately, by slot. */
  readonly #made = new Map<number, number[]>();

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** Takes in what a slot answered to a challenge. */
  async saw(slot: number, cell: CellRef, verdict: AuditVerdict): Promise<void> {
    const { inventory } = this.#options;
    switch (verdict.kind) {
      case 'held':
      case 'unanswered':
        return;
      case 'superseded':
        await inventory.take(verdict.by);
        return;
      case 'lack':
        await this.lost(cell.hash, { place: cell.place, stripe: verdict.code === 'NOT_HELD' ? WHOLE_CONTENT : cell.stripe, slot });
        break;
      case 'wrong':
        await this.lost(cell.hash, { place: cell.place, stripe: cell.stripe, slot });
        break;
    }
    if (verdict.statement !== null && this.#mayAccuse(slot)) await this.#accuse(slot, cell, verdict);
  }

  /** A cell is lost. */
  async lost(hash: Uint8Array, place: HolePlace): Promise<void> {
    const risk = await this.#options.inventory.note(hash, [place], 'LOST');
    if (risk !== null) await this.#options.onRisk(risk);
  }

  #mayAccuse(slot: number): boolean {
    const nowMs = this.#options.clock.nowMs();
    const recent = (this.#made.get(slot) ?? []).filter((atMs) => nowMs - atMs < DAY_MS);
    this.#made.set(slot, recent);
    if (recent.length >= EVIDENCE_MAX) return false;
    recent.push(nowMs);
    return true;
  }

  async #accuse(slot: number, cell: CellRef, verdict: Extract<AuditVerdict, { kind: 'lack' | 'wrong' }>): Promise<void> {
    const { client, telemetry } = this.#options;
    const { statement } = verdict;
    if (statement === null) return;
    try {
      const version = await this.certificate(cell);
      if (version === null) return;
      const table = cell.place === 0 ? null : await tableOf(client, version);
      const { contentId, layout } = cell.content;
      const named = { contentId, table };
      if (verdict.kind === 'lack') client.accuseOfLack(version, named, statement);
      else await client.accuseOfWrongCell(version, layout === null ? named : { ...named, layout }, cell.stripe, slot, statement);
    } catch (error) {
      if (!isOperationError(error)) throw error;
      telemetry.event('warn', 'evidence not completed', { slot, error: error.message });
    }
  }

  /** The certificate of a version that the inventory holds; null: nobody gives it. */
  async certificate({ row }: Pick<CellRef, 'row'>): Promise<Certified | null> {
    const [found = null] = await this.#options.client.certificates([{ keyId: row.keyId, stamp: row.stamp, slots: [], exact: true }]);
    return found;
  }
}

/** The part table of a version; null when it has ended. Throws NO_QUORUM, DAMAGED. */
export async function tableOf(client: ControllerClient, version: Certified): Promise<Uint8Array | null> {
  const body = await client.body(version);
  return body.kind === 'fetched' ? body.value : null;
}
