/**
 * All quorum arithmetic of the protocol (section 1), and nowhere else. Letters are the specification's:
 * n slots, at most f faulty, q replies or receipts, c nodes that must hold a certificate before an
 * acknowledgement, k cells that decode a stripe.
 */
import { OperationError } from '../base/errors.ts';

/** Bounds of what a cluster may be; the erasure code is proven MDS for every geometry within them. */
export const SLOTS_MAX = 16;

export interface Quorums {
  readonly n: number;
  readonly f: number;
}

/** Receipts in a certificate, replies that a query waits for: the most that a client can wait for. */
export function quorumSize({ n, f }: Quorums): number {
  return n - f;
}

/** Nodes that must hold a certificate before a write is acknowledged or a read returns: a read quorum misses f nodes and f of the holders may lie, so c - f >= f + 1. */
export function holderCount({ f }: Quorums): number {
  return 2 * f + 1;
}

/** More nodes than can be faulty: one of them is correct. */
export function oneCorrect({ f }: Quorums): number {
  return f + 1;
}

/** May `prepared` of `answered` answers (of n) still mean that a certificate exists? Its negation licences an abort (6.7). */
export function mayBeCertified({ n, f }: Quorums, answered: number, prepared: number): boolean {
  return prepared + (n - answered) + Math.min(f, answered - prepared) >= n - f;
}

export interface Geometry extends Quorums {
  readonly k: number;
}

export type GeometryVerdict = { readonly ok: true; readonly geometry: Geometry } | { readonly ok: false; readonly reason: string };

/** The only way to a Geometry. The reason names the inequality that fails, with its numbers. */
export function checkGeometry(n: number, f: number, k: number): GeometryVerdict {
  for (const [name, value] of [['n', n], ['f', f], ['k', k]] as const) {
    if (!Number.isSafeInteger(value)) return { ok: false, reason: `${name} = ${value} is not a whole number` };
  }
  if (f < 1) return { ok: false, reason: `f >= 1 fails: f = ${f}` };
  if (n > SLOTS_MAX) return { ok: false, reason: `n <= ${SLOTS_MAX} fails: n = ${n}` };
  if (n < 3 * f + 1) return { ok: false, reason: `n >= 3f+1 fails: n = ${n}, 3f+1 = ${3 * f + 1}` };
  if (k > n - 2 * f) return { ok: false, reason: `k <= n-2f fails: k = ${k}, n-2f = ${n - 2 * f}` };
  if (k < f + 1) return { ok: false, reason: `k >= f+1 fails: k = ${k}, f+1 = ${f + 1}` };
  return { ok: true, geometry: { n, f, k } };
}

/** For numbers from an operator: throws BAD_GEOMETRY with the inequality that fails. */
export function requireGeometry(n: number, f: number, k: number): Geometry {
  const verdict = checkGeometry(n, f, k);
  if (verdict.ok) return verdict.geometry;
  throw new OperationError('BAD_GEOMETRY', `${verdict.reason}.`, {
    remedy: 'Choose n, f and k with n >= 3f+1 and f+1 <= k <= n-2f.',
  });
}
