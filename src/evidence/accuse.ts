/**
 * From what a member has caught another at to proof that convinces others (protocol 10). Everything is judged
 * here as a stranger would judge it before it is handed on: what a stranger would not believe stays a
 * suspicion.
 */
import { mapKey } from '../base/bytes.ts';
import type { Clock, Telemetry } from '../base/ports.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { encodeEvidence } from './evidence.ts';
import type { Evidence } from './evidence.ts';
import type { Proof } from './finding.ts';
import { judgeEvidence } from './judge.ts';

type Bare<E> = E extends Evidence ? Omit<E, 'v' | 'configHash'> : never;

/** Evidence but for what is the same in all of it. Never throws. */
export type Accuse = (accusation: Bare<Evidence>) => void;

/** Accusations of one wording are judged once as long as so many others have not come since. */
const KNOWN_MAX = 1024;

export interface AccuserOptions {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Must not throw. */
  readonly onProof: (proof: Proof) => void;
}

export function accuser({ cluster, clock, telemetry, onProof }: AccuserOptions): Accuse {
  const known = new Set<string>();
  return (accusation) => {
    const evidence: Evidence = { ...accusation, v: 1, configHash: cluster.hash };
    const name = mapKey(sha256(encodeEvidence(evidence)));
    if (known.has(name)) return;
    if (known.size >= KNOWN_MAX) known.clear();
    known.add(name);
    const verdict = judgeEvidence(cluster, evidence, clock.nowMs());
    if (verdict.proven) {
      onProof({ evidence, finding: verdict.finding });
      return;
    }
    telemetry.count('evidence_not_proven', { type: evidence.type });
    telemetry.event('warn', 'evidence_not_proven', { type: evidence.type, reason: verdict.reason });
  };
}
