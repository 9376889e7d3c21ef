/**
 * Contents kept ahead of their manifests (protocol 13.7). A stage binds its content until a certificate of a
 * manifest that rests on it is held here, whose version then binds it, or until 2f+1 nodes have promised that
 * nothing rests on it any more.
 */
import { mapKey } from '../base/bytes.ts';
import type { StageTerms } from '../protocol/slot.ts';

export interface Stage extends StageTerms {
  readonly binds: Uint8Array;
  /** Bytes charged to its gateway. */
  readonly bytes: number;
  /** Index of the STAGED leaf, and the incarnation it was made in. */
  readonly logIndex: number;
  readonly incarnation: number;
  durable: Promise<void>;
}

export class Stages {
  readonly #held = new Map<string, { readonly stage: Stage; readonly sinceMs: number }>();
  /** Stages on which this node accepts nothing any more. */
  readonly #ended = new Map<string, Uint8Array>();

  get(stageId: Uint8Array): Stage | undefined {
    return this.#held.get(mapKey(stageId))?.stage;
  }

  /** `nowMs` by the monotonic clock: after a restart its age begins anew. */
  add(stage: Stage, nowMs: number): void {
    this.#held.set(mapKey(stage.stageId), { stage, sinceMs: nowMs });
  }

  /** Returns the stage let go. */
  drop(stageId: Uint8Array): Stage | undefined {
    const stage = this.get(stageId);
    this.#held.delete(mapKey(stageId));
    return stage;
  }

  hasEnded(stageId: Uint8Array): boolean {
    return this.#ended.has(mapKey(stageId));
  }

  end(stageId: Uint8Array): void {
    this.#ended.set(mapKey(stageId), stageId);
  }

  get count(): number {
    return this.#held.size;
  }

  held(): readonly Stage[] {
    return [...this.#held.values()].map(({ stage }) => stage);
  }

  /** With how long each has been held here, the oldest first. */
  *ages(nowMs: number): Generator<{ readonly stage: Stage; readonly ageMs: number }> {
    for (const { stage, sinceMs } of this.#held.values()) yield { stage, ageMs: nowMs - sinceMs };
  }

  ended(): readonly Uint8Array[] {
    return [...this.#ended.values()];
  }
}
