/** What proves the admins guilty: E9. */
import { equal, hex } from '../base/bytes.ts';
import { openSignedConfiguration } from '../protocol/configuration.ts';
import type { EvidenceOf } from './evidence.ts';
import { notProven, proven } from './finding.ts';
import type { Verdict } from './finding.ts';
import type { Statements } from './statements.ts';

/** E9: two configurations of one epoch, each with enough signatures of the admins of the one that is trusted. */
export function judgeConfigurations({ cluster }: Statements, { documents }: EvidenceOf<'E9'>): Verdict {
  const [first, second] = documents.map((document) => openSignedConfiguration(document, cluster.config.admins));
  if (first?.ok !== true || second?.ok !== true) return notProven('a document is malformed');
  const [a, b] = [first.value, second.value];
  if (equal(a.hash, b.hash)) return notProven('it is one configuration twice');
  if (!equal(a.config.clusterId, cluster.id) || !equal(b.config.clusterId, cluster.id)) return notProven('a configuration is of another cluster');
  if (a.config.epoch !== b.config.epoch) return notProven('the configurations are of two epochs');
  const needed = cluster.config.m;
  if (a.signers < needed || b.signers < needed) return notProven(`a configuration has fewer than ${needed} signatures of the admins`);
  return proven(
    { kind: 'admins' },
    [a, b].map(({ config, hash, signers }) => `configuration ${hex(hash)} of epoch ${config.epoch}, by ${signers} admins`),
    'The admins sign one configuration at most for an epoch: with two, members would disagree about who they are.',
  );
}
