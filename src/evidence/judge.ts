/**
 * The judge (protocol 10): from a configuration and a piece of evidence to a verdict. Pure, and the same for
 * everybody: it believes nothing but signatures that verify, asks nobody, and knows no time but the one it is
 * given. What it cannot prove it calls not proven; that a suspicion is strong makes it no proof.
 */
import { equal } from '../base/bytes.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { judgeConfigurations } from './admins.ts';
import { judgeAudit, judgeEviction, judgeLack, judgeRow } from './contents.ts';
import type { Evidence } from './evidence.ts';
import { notProven } from './finding.ts';
import type { Verdict } from './finding.ts';
import { judgeForgotten, judgeHistories, judgePlace, judgeShrunkLog } from './logs.ts';
import { judgeOldReceipt, judgeTwoReceipts, judgeUnlawfulReceipt } from './receipts.ts';
import { Statements } from './statements.ts';
import { judgeEncoding, judgeTwoManifests, judgeTwoProposals } from './writers.ts';

/** `nowMs`, Unix milliseconds, decides only whether a retention (E7) still lasts. Never throws. */
export function judgeEvidence(cluster: Cluster, evidence: Evidence, nowMs: number): Verdict {
  if (!equal(evidence.configHash, cluster.hash)) return notProven('it is to be judged by another configuration');
  const statements = new Statements(cluster);
  switch (evidence.type) {
    case 'E1':
      return judgeTwoManifests(statements, evidence);
    case 'E2':
      return judgeTwoReceipts(statements, evidence);
    case 'E3':
      return judgeHistories(statements, evidence);
    case 'E4':
      return judgePlace(statements, evidence);
    case 'E5':
      return judgeForgotten(statements, evidence);
    case 'E5-log':
      return judgeShrunkLog(statements, evidence);
    case 'E6':
      return judgeLack(statements, evidence);
    case 'E6-row':
      return judgeRow(statements, evidence);
    case 'E6-audit':
      return judgeAudit(statements, evidence);
    case 'E7':
      return judgeEviction(statements, evidence, nowMs);
    case 'E8':
      return judgeEncoding(statements, evidence);
    case 'E9':
      return judgeConfigurations(statements, evidence);
    case 'E10':
      return judgeOldReceipt(statements, evidence);
    case 'E11':
      return judgeTwoProposals(statements, evidence);
    case 'E12':
      return judgeUnlawfulReceipt(statements, evidence);
  }
}
