/**
 * A Merkle tree of which the first leaves are known by their complete subtrees alone and the others one by
 * one: what a follower of a log has while it catches up. Enough for every path that ends behind the first
 * leaves: proofs for others about what came since.
 */
import { assert } from '../base/assert.ts';
import type { Frontier} from './tree.ts';
import { consistencyPathFrom, inclusionPathFrom, largestPowerBelow, nodeHash, rootOf } from './tree.ts';

export class PartialTree {
  readonly #from: number;
  readonly #leaves: readonly Uint8Array[];
  /** Complete subtrees of the first leaves, by their start; their sizes follow from it. */
  readonly #peaks = new Map<string, Uint8Array>();

  /** `leaves`: the hashes of those that follow the frontier's. */
  constructor(frontier: Frontier, leaves: readonly Uint8Array[]) {
    this.#from = frontier.size;
    this.#leaves = leaves;
    for (const { start, end, hash } of frontier.subtrees()) this.#peaks.set(`${start} ${end}`, hash);
  }

  get size(): number {
    return this.#from + this.#leaves.length;
  }

  root(): Uint8Array {
    return this.size === 0 ? rootOf([]) : this.#root(0, this.size);
  }

  /** Path of a leaf that is known one by one. */
  inclusion(index: number): Uint8Array[] {
    assert(index >= this.#from && index < this.size, 'the leaf is known');
    return inclusionPathFrom((start, end) => this.#root(start, end), index, this.size);
  }

  /** Path from the first leaves alone, or from more of them, to all. */
  consistency(oldSize: number = this.#from): Uint8Array[] {
    assert(oldSize >= this.#from && oldSize <= this.size, 'the tree of that size is known');
    return consistencyPathFrom((start, end) => this.#root(start, end), oldSize, this.size);
  }

  #root(start: number, end: number): Uint8Array {
    if (start >= this.#from) return rootOf(this.#leaves.slice(start - this.#from, end - this.#from));
    const peak = this.#peaks.get(`${start} ${end}`);
    if (peak !== undefined) return peak;
    const middle = start + largestPowerBelow(end - start);
    return nodeHash(this.#root(start, middle), this.#root(middle, end));
  }
}
