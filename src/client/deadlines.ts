/**
 * Every wait of the protocol client in one place, in milliseconds. They serve liveness alone: no claim about
 * data rests on a clock. Together they keep a promise to callers: a write to a cluster with more than f
 * storage nodes down gets a definite answer within ten seconds, whether the nodes refuse connections or are
 * silent.
 */
import { assert } from '../base/assert.ts';
import { LEASE_MS_MAX } from '../base/limits.ts';

export interface Deadlines {
  /** Until q verified replies to a QUERY. */
  readonly queryMs: number;
  /** One cell of an upload, until the node has it. */
  readonly cellMs: number;
  /** How far a slot may lag behind the q fastest in an upload before it is left out of it. */
  readonly lagMs: number;
  /** Until q receipts, over all requests to all slots. */
  readonly prepareMs: number;
  /** Until c acknowledgements; afterwards the outcome is unknown to the caller. */
  readonly commitMs: number;
  /** How long the other slots are still given certificates after the caller has the answer. */
  readonly completeMs: number;
  /** Until k verified cells of one stripe, or one body. */
  readonly fetchMs: number;
  /** One FETCH or BODY, before the slot is asked again. */
  readonly fetchCallMs: number;
  /** A slot slower than this many times its usual latency is not waited for alone (hedging). */
  readonly hedgeFactor: number;
  readonly hedgeMinMs: number;
  readonly hedgeMaxMs: number;
  /** What a read of several stripes asks nodes to keep, renewed with each stripe. */
  readonly leaseMs: number;
  /** One request for log leaves or certificates. */
  readonly followCallMs: number;
  /** Until q logs are followed to a fresh checkpoint. */
  readonly barrierMs: number;
  readonly resolveMs: number;
  /** First pause before a slot that could not be reached is asked again; doubled each time. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

export const DEFAULT_DEADLINES: Deadlines = {
  queryMs: 4_000,
  cellMs: 8_000,
  lagMs: 4_000,
  prepareMs: 8_000,
  commitMs: 8_000,
  completeMs: 30_000,
  fetchMs: 15_000,
  fetchCallMs: 5_000,
  hedgeFactor: 3,
  hedgeMinMs: 20,
  hedgeMaxMs: 500,
  leaseMs: 120_000,
  followCallMs: 5_000,
  barrierMs: 8_000,
  resolveMs: 5_000,
  retryMinMs: 100,
  retryMaxMs: 1_600,
};

assert(DEFAULT_DEADLINES.queryMs < 10_000, 'silent nodes are noticed by the query of a write');
assert(DEFAULT_DEADLINES.cellMs < 10_000, 'or by its first cell, when the counter is guessed');
assert(DEFAULT_DEADLINES.prepareMs < 10_000, 'or by PREPARE, when there are no cells');
assert(DEFAULT_DEADLINES.leaseMs <= LEASE_MS_MAX, 'nodes grant the lease');
