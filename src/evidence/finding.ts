/**
 * What a judge makes of evidence: who is proven guilty, in words that a person can check against the
 * statements; or why nothing is proven.
 */
import { hex } from '../base/bytes.ts';
import type { Cluster } from '../protocol/configuration.ts';
import type { Evidence } from './evidence.ts';

export type Accused =
  | { readonly kind: 'node'; readonly slot: number; readonly nodeId: Uint8Array; readonly domain: string }
  | { readonly kind: 'writer'; readonly gatewayId: Uint8Array }
  | { readonly kind: 'admins' };

export interface Finding {
  readonly accused: Accused;
  /** What the accused has signed, one sentence a statement. */
  readonly signed: readonly string[];
  /** Why no correct party signs all of it. */
  readonly contradiction: string;
  readonly weight: Weight;
}

/** Does it convict of a lie, or may it be a loss, which costs a node a repair and not its place (13.10)? */
export type Weight = 'lie' | 'loss' | 'loss-or-lie';

/** Evidence with what it proves. */
export interface Proof {
  readonly evidence: Evidence;
  readonly finding: Finding;
}

export type Verdict =
  | { readonly proven: true; readonly finding: Finding }
  | { readonly proven: false; readonly reason: string };

export const notProven = (reason: string): Verdict => ({ proven: false, reason });

export function proven(accused: Accused, signed: readonly string[], contradiction: string, weight: Weight = 'lie'): Verdict {
  return { proven: true, finding: { accused, signed, contradiction, weight } };
}

/** Short and fit for a file name: `node-3`, `writer-<16 hex>`, `admins`. */
export function nameOf(accused: Accused): string {
  switch (accused.kind) {
    case 'node':
      return `node-${accused.slot}`;
    case 'writer':
      return `writer-${hex(accused.gatewayId.subarray(0, 8))}`;
    case 'admins':
      return 'admins';
  }
}

/** The accused node of a slot that the configuration has. */
export function nodeAt(cluster: Cluster, slot: number): Accused | null {
  const config = cluster.slotAt(slot);
  return config === undefined ? null : { kind: 'node', slot, nodeId: config.nodeId, domain: config.domain };
}
