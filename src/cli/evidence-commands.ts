/**
 * `holdfast evidence`: proof of what members did, as gateways come by it. Whoever has a file and the cluster's
 * root document needs nothing else: no process, no network, no trust in whoever handed the file on.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { hex } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import { decodeEvidence, EVIDENCE_BYTES_MAX } from '../evidence/evidence.ts';
import type { Evidence, EvidenceType } from '../evidence/evidence.ts';
import { nameOf } from '../evidence/finding.ts';
import type { Accused, Verdict } from '../evidence/finding.ts';
import { judgeEvidence } from '../evidence/judge.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { readDocument } from './bound-cluster.ts';
import { ownerFolder } from './cluster-folder.ts';
import { EVIDENCE_FOLDER } from './evidence-folder.ts';
import { readGivenFile } from './given-file.ts';
import { CONFIG_FILE } from './identity-folder.ts';
import { openConfiguration } from './root-configuration.ts';
import { systemClock } from './system-ports.ts';
import { formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

export interface EvidenceTarget {
  /** A gateway's folder, or that of `holdfast up`. */
  readonly dir: string;
  /** The root document; the one in the folder when it is not named. */
  readonly config: string | undefined;
  readonly terminal: Terminal;
}

/** What each kind is about, in one line. */
const ABOUT: Readonly<Record<EvidenceType, string>> = {
  E1: 'two manifests for one stamp',
  E2: 'receipts for two manifests where one may be accepted',
  E3: 'two histories of one log',
  E4: 'another log entry than was promised',
  E5: 'a version denied that was acknowledged',
  'E5-log': 'a log that shrank',
  E6: 'a content lost that was promised',
  'E6-row': 'a row made up for a content',
  'E6-audit': 'a wrong cell for a challenge',
  E7: 'a locked version let go',
  E8: 'a content that is no codeword',
  E9: 'two configurations of one epoch',
  E10: 'a receipt of an epoch that was over',
  E11: 'two proposals in one ballot',
  E12: 'a receipt for what nobody may accept',
};

interface Judged {
  readonly evidence: Evidence;
  readonly verdict: Verdict;
}

/** All that the gateway has come by, judged again. */
export async function evidenceList(target: EvidenceTarget): Promise<void> {
  const folder = path.join(ownerFolder(target.dir), EVIDENCE_FOLDER);
  const cluster = await rootOf(target);
  const names = (await fs.readdir(folder).catch(() => [])).filter((name) => name.endsWith('.cbor')).sort();
  const found = await Promise.all(names.map((name) => listed(cluster, path.join(folder, name))));
  const rows = found.map(({ file, kind, accused, about, foundAt }) => [foundAt, kind, accused, about, file]);
  const text = rows.length === 0 ? 'There is no evidence.\n' : `${formatTable([['found', 'kind', 'accused', 'of what', 'file'], ...rows])}\n`;
  target.terminal.say('evidence', { evidence: found }, text);
}

async function listed(cluster: Cluster, file: string) {
  const foundAt = (await fs.stat(file)).mtime.toISOString();
  try {
    const { evidence, verdict } = await judged(cluster, file);
    const accused = verdict.proven ? nameOf(verdict.finding.accused) : 'nobody';
    return { file, kind: evidence.type, accused, about: verdict.proven ? ABOUT[evidence.type] : `not proven: ${verdict.reason}`, foundAt };
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return { file, kind: '-', accused: 'nobody', about: error.message, foundAt };
  }
}

/** What was signed, why it contradicts, and who did it. CORRUPT where it must prove something and does not. */
export async function evidenceOf(target: EvidenceTarget & { readonly file: string; readonly mustProve: boolean }): Promise<void> {
  const { file, terminal, mustProve } = target;
  const { evidence, verdict } = await judged(await rootOf(target), file);
  if (verdict.proven) {
    const { accused, signed, contradiction } = verdict.finding;
    const lines = [
      `proven: ${evidence.type}, ${ABOUT[evidence.type]}`,
      `accused: ${describe(accused)}`,
      'signed by the accused:',
      ...signed.map((statement) => `  - ${statement}`),
      contradiction,
    ];
    terminal.say('evidence proven', { type: evidence.type, accused: nameOf(accused), signed, contradiction }, `${lines.join('\n')}\n`);
    return;
  }
  const { reason } = verdict;
  if (mustProve) {
    throw new OperationError('CORRUPT', `${file} proves nothing: ${reason}.`, {
      remedy: 'Ask whoever gave it to you for the file as the gateway wrote it.',
    });
  }
  terminal.say('evidence not proven', { type: evidence.type, reason }, `not proven: ${evidence.type}, ${reason}\n`);
}

function describe(accused: Accused): string {
  switch (accused.kind) {
    case 'node':
      return `node ${accused.slot}, operated by ${accused.domain}, id ${hex(accused.nodeId)}`;
    case 'writer':
      return `whoever signs with the key of gateway ${hex(accused.gatewayId)}`;
    case 'admins':
      return 'the admins of the cluster';
  }
}

async function judged(cluster: Cluster, file: string): Promise<Judged> {
  const bytes = await readGivenFile(file, 'evidence', EVIDENCE_BYTES_MAX, 'CORRUPT');
  const read = decodeEvidence(bytes);
  if (!read.ok) {
    throw new OperationError('CORRUPT', `${file} is no evidence: ${read.reason}.`, { remedy: 'Name a file that a gateway wrote to its folder of evidence.' });
  }
  return { evidence: read.value, verdict: judgeEvidence(cluster, read.value, systemClock.nowMs()) };
}

async function rootOf({ dir, config }: EvidenceTarget): Promise<Cluster> {
  const file = config ?? path.join(ownerFolder(dir), CONFIG_FILE);
  return openConfiguration(await readDocument(file), file);
}
