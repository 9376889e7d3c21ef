/**
 * `holdfast audit` and `holdfast repair`: what a running controller says through its admin door, in words or as
 * JSON; and `holdfast gateway authority`, which signs what a controller on another machine needs.
 */
import path from 'node:path';
import { OperationError } from '../base/errors.ts';
import { duration } from '../control/status.ts';
import type { ControllerStatus } from '../control/status.ts';
import { NodeDisk } from '../platform/disk.ts';
import { askAdmin } from './admin-socket.ts';
import { boundCluster } from './bound-cluster.ts';
import { controllerFolderOf, ownerFolder } from './cluster-folder.ts';
import { readGatewayIdentity } from './identity-folder.ts';
import { controllerNamed, signAuthority } from './repair-authority.ts';
import { systemClock } from './system-ports.ts';
import { formatBytes, formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

interface Asked {
  readonly dir: string;
  readonly terminal: Terminal;
}

/** How sure the controller is of each node, and what that has cost. */
export async function auditCommand({ dir, terminal }: Asked): Promise<void> {
  const { audits, auditGoal } = await askController(dir);
  const head = ['', 'challenges', 'held', 'lost', 'unanswered', 'read', 'before'];
  const rows = audits.map((audit) => [
    `node ${audit.slot}`,
    String(audit.requests),
    String(audit.held),
    String(audit.lacked + audit.wrong + audit.sweptLost),
    String(audit.unanswered),
    formatBytes(audit.bytes),
    audit.last === null ? '-' : `${audit.last.held} held, ${audit.last.lacked + audit.last.wrong} lost`,
  ]);
  const period = `in this period of ${duration(auditGoal.periodMs)}`;
  const words = audits.map(({ slot, statement }) => `node ${slot}: ${statement}`);
  terminal.say('audit', { audits, auditGoal }, [period, formatTable([head, ...rows]), '', ...words].join('\n'));
}

/** How whole the cluster is, and how repair goes. */
export async function repairCommand({ dir, terminal }: Asked): Promise<void> {
  const { health, words, versions, confirmed, below, repair, authority } = await askController(dir);
  const { healed, given, lostAgain, refused, readBytes, givenBytes, auditBytes, readRatio } = repair;
  const ratio = readRatio === null ? '' : `, ${readRatio.toFixed(2)} times the least`;
  const lines = [
    ...words.filter((line) => !line.startsWith('node ')),
    `confirmed slots: ${confirmed.map((count, slots) => `${count} versions on ${slots}`).reverse().join(', ')}`,
    `since the controller began: ${healed} cells whole again by audit, ${given} given back, ${lostAgain} taken and lost again, ${refused} not taken`,
    `it cost: ${formatBytes(readBytes)} read${ratio}, ${formatBytes(givenBytes)} written, ${formatBytes(auditBytes)} of audits`,
  ];
  terminal.say('repair', { health, versions, confirmed, below, repair, authority }, lines.join('\n'));
}

async function askController(dir: string): Promise<ControllerStatus> {
  const folder = controllerFolderOf(path.resolve(dir));
  const { status, body } = await askAdmin(folder, '/status');
  if (status !== 200) throw new OperationError('PEER_FAILED', `The controller in ${folder} answers ${status}.`);
  return body as ControllerStatus;
}

/** Prints the document for `controller run --authority`. It lasts a day. */
export async function gatewayAuthority(dir: string, controller: string): Promise<string> {
  const disk = new NodeDisk(ownerFolder(path.resolve(dir)));
  const identity = await readGatewayIdentity(disk);
  const cluster = await boundCluster(disk);
  const document = await signAuthority(cluster, identity, controllerNamed(cluster, controller), systemClock);
  return `${JSON.stringify(document)}\n`;
}
