/**
 * `holdfast evidence`: proof of what members did, as gateways and nodes come by it. Whoever has a file and the cluster's
 * root document needs nothing else: no process, no network, no trust in whoever handed the file on.
 */
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { hex } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import { decodeEvidence, EVIDENCE_BYTES_MAX } from '../evidence/evidence.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { nameOf } from '../evidence/finding.ts';
import type { Accused, Verdict } from '../evidence/finding.ts';
import { judgeEvidence } from '../evidence/judge.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { readDocument } from './bound-cluster.ts';
import { ownerFolder } from './cluster-folder.ts';
import { EVIDENCE_FOLDER } from './evidence-folder.ts';
import { KEY_WORDS, WEIGHT_WORDS, WORDS } from './evidence-words.ts';
import { readGivenFile } from './given-file.ts';
import { CONFIG_FILE, IDENTITY_FILE, OWNER_FILE } from './identity-folder.ts';
import { openConfiguration } from './root-configuration.ts';
import { systemClock } from './system-ports.ts';
import { formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

export interface EvidenceTarget {
  /** The folder of a gateway or node, or that of `holdfast up`. */
  readonly dir: string;
  /** The root document; the one in the folder when it is not named. */
  readonly config: string | undefined;
  readonly terminal: Terminal;
}

interface Judged {
  readonly evidence: Evidence;
  readonly verdict: Verdict;
}

/** All that the members of the folder have come by, judged again. */
export async function evidenceList(target: EvidenceTarget): Promise<void> {
  const cluster = await rootOf(target);
  const files = (await Promise.all((await membersIn(target.dir)).map((folder) => filesIn(path.join(folder, EVIDENCE_FOLDER))))).flat();
  const found = await Promise.all(files.map((file) => listed(cluster, file)));
  const rows = found.map(({ file, kind, accused, about, foundAt }) => [foundAt, kind, accused, about, file]);
  const text = rows.length === 0 ? 'There is no evidence.\n' : `${formatTable([['found', 'kind', 'accused', 'of what', 'file'], ...rows])}\n`;
  target.terminal.say('evidence', { evidence: found }, text);
}

/** The folder itself, where it is a member's, else the folders of members in it. */
async function membersIn(dir: string): Promise<readonly string[]> {
  if (existsSync(path.join(dir, IDENTITY_FILE)) || existsSync(path.join(dir, OWNER_FILE))) return [dir];
  const inside = await fs.readdir(dir, { withFileTypes: true }).catch(() => []);
  return inside.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(dir, name));
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const names = await fs.readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith('.cbor')).sort().map((name) => path.join(folder, name));
}

async function listed(cluster: Cluster, file: string) {
  const foundAt = (await fs.stat(file)).mtime.toISOString();
  try {
    const { evidence, verdict } = await judged(cluster, file);
    const accused = verdict.proven ? nameOf(verdict.finding.accused) : 'nobody';
    return { file, kind: evidence.type, accused, about: verdict.proven ? WORDS[evidence.type].about : `not proven: ${verdict.reason}`, foundAt };
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
    const { accused, signed, contradiction, weight } = verdict.finding;
    const { about, meaning, todo } = WORDS[evidence.type];
    const lines = [
      `proven: ${evidence.type}, ${about}`,
      `accused: ${describe(accused)}`,
      `it is ${accused.kind === 'node' ? WEIGHT_WORDS[weight] : KEY_WORDS}`,
      'signed by the accused:',
      ...signed.map((statement) => `  - ${statement}`),
      `why no correct member signs this: ${contradiction}`,
      `what the words mean: ${meaning}`,
      `what to do: ${todo}`,
    ];
    terminal.say('evidence proven', { type: evidence.type, accused: nameOf(accused), weight, signed, contradiction }, `${lines.join('\n')}\n`);
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
  const own = path.join(dir, CONFIG_FILE);
  const file = config ?? (existsSync(own) ? own : path.join(ownerFolder(dir), CONFIG_FILE));
  return openConfiguration(await readDocument(file), file);
}
