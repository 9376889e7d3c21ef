/**
 * Requests that come twice (protocol 13.11). A client that lost the connection sends its request again
 * under the same operation id; it must get the first one's result and not be applied a second time. A
 * request learns whether it is a repetition when its content is complete and nothing is prepared yet:
 * `settle` then gives the earlier result, or the right to go on, which one request of an id has at a time.
 */
import { equal, mapKey } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { encode } from '../protocol/encoding.ts';
import type { OperationRow } from './index/rows.ts';
import type { OperationId } from './s3/port/content.ts';

/** How long a result is remembered. */
export const OPERATION_WINDOW_MS: number = 60 * 60_000;

export type Earlier =
  | { readonly kind: 'none' }
  | { readonly kind: 'done'; readonly row: OperationRow }
  /** An earlier request with this id may have taken effect: nothing is known. */
  | { readonly kind: 'unknown' };

/**
 * What a request is, for comparison with one that bears the same id: equal fingerprints mean the same
 * request.
 */
export function fingerprintOf(parts: Readonly<Record<string, unknown>>): Uint8Array {
  return Uint8Array.from(sha256(encode(parts)));
}

/** The result that the index remembers of an operation. */
export type Lookup = (opId: Uint8Array) => Promise<OperationRow | undefined>;

/** Says what became of an earlier attempt of which that is not known: done, never, or still not known. */
export type Investigate = (opId: Uint8Array) => Promise<'done' | 'never' | 'unknown'>;

export class Operations {
  readonly #lookup: Lookup;
  readonly #investigate: Investigate;
  /** Per id: settles when the request that may go on has ended. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(lookup: Lookup, investigate: Investigate) {
    this.#lookup = lookup;
    this.#investigate = investigate;
  }

  begin(operation: OperationId): Operation {
    return new Operation(operation, this.#lookup, this.#underWay, this.#investigate);
  }

  /**
   * The result of an earlier request with this id, after waiting for one under way; undefined when there is
   * none.
   */
  async result(opId: Uint8Array): Promise<OperationRow | undefined> {
    await this.#underWay.get(mapKey(opId));
    return this.#lookup(opId);
  }
}

/** One request. `end` it in any case. */
export class Operation {
  readonly id: Uint8Array;
  readonly #isRepeatable: boolean;
  readonly #lookup: Lookup;
  readonly #underWay: Map<string, Promise<void>>;
  readonly #investigate: Investigate;
  #release: (() => void) | null = null;

  constructor(
    operation: OperationId,
    lookup: Lookup,
    underWay: Map<string, Promise<void>>,
    investigate: Investigate,
  ) {
    this.id = operation.id;
    this.#isRepeatable = operation.repeatable;
    this.#lookup = lookup;
    this.#underWay = underWay;
    this.#investigate = investigate;
  }

  /** What stands in the sealed metadata, so that every gateway recognises a repetition. */
  mark(fingerprint: Uint8Array): Uint8Array | null {
    return this.#isRepeatable ? fingerprint : null;
  }

  /** Is there, as far as is known before the content has come, an earlier request of this id? */
  async mayBeRepetition(): Promise<boolean> {
    if (!this.#isRepeatable) return false;
    if (this.#underWay.has(mapKey(this.id)) || (await this.#lookup(this.id)) !== undefined) return true;
    return (await this.#investigate(this.id)) !== 'never';
  }

  /**
   * Waits for other requests of this id, then says whether one of them did the same already. With 'none' this
   * request goes on alone until `end`.
   */
  async settle(fingerprint: Uint8Array): Promise<Earlier> {
    if (!this.#isRepeatable) return { kind: 'none' };
    const name = mapKey(this.id);
    for (let other = this.#underWay.get(name); other !== undefined; other = this.#underWay.get(name))
      await other;
    this.#underWay.set(
      name,
      new Promise((resolve) => {
        this.#release = () => {
          this.#underWay.delete(name);
          resolve();
        };
      }),
    );
    const isSame = (row: OperationRow | undefined): row is OperationRow =>
      row !== undefined && equal(row.fingerprint, fingerprint);
    const known = await this.#lookup(this.id);
    if (isSame(known)) return { kind: 'done', row: known };
    const outcome = await this.#investigate(this.id);
    if (outcome === 'unknown') return { kind: 'unknown' };
    const found = await this.#lookup(this.id);
    if (isSame(found)) return { kind: 'done', row: found };
    // Done, and the index could not take the result in: what the request was cannot be told.
    return outcome === 'done' && found === undefined ? { kind: 'unknown' } : { kind: 'none' };
  }

  end(): void {
    this.#release?.();
    this.#release = null;
  }
}
