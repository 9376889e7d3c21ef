/**
 * `holdfast status`: what the processes of a cluster folder say about themselves through their admin doors:
 * who serves, capacity and free space, and whom the gateway has caught at what.
 */
import path from 'node:path';
import { OperationError } from '../base/errors.ts';
import { NodeDisk } from '../platform/disk.ts';
import { askAdmin } from './admin-socket.ts';
import { readEndpoint } from './endpoint-file.ts';
import { formatBytes, formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

interface MemberStatus {
  readonly name: string;
  readonly folder: string;
  /** Null when the process does not answer. */
  readonly status: Readonly<Record<string, unknown>> | null;
}

export async function statusCommand(dir: string, terminal: Terminal): Promise<void> {
  const folder = path.resolve(dir);
  const endpoint = await readEndpoint(new NodeDisk(folder), folder);
  const members = await Promise.all([
    ...endpoint.nodes.map((node) => ask(`node ${node.slot}`, node.folder)),
    ask('gateway', endpoint.gateway.folder),
    ...(endpoint.controller === undefined ? [] : [ask('controller', endpoint.controller.folder)]),
  ]);
  const rows = members.map(({ name, status }) => [name, ...describe(status)]);
  terminal.say('status', { endpoint: endpoint.endpoint, members }, formatTable(rows));
  const health = members.flatMap(({ status }) => (Array.isArray(status?.['words']) ? status['words'].map(String) : []));
  if (health.length > 0 && !terminal.json) terminal.say('health', {}, health.join('\n'));
  const caught = members.flatMap(({ name, status }) =>
    Object.entries((status?.['counters'] ?? {}) as Record<string, number>)
      .filter(([counter]) => counter.includes('suspicion'))
      .map(([counter, count]) => `${name}: ${counter} ${count}`),
  );
  if (caught.length > 0) terminal.warn('suspicions', { caught }, `caught:\n  ${caught.join('\n  ')}`);
  const revoked = [...new Set(members.flatMap(({ status }) => (status?.['revoked'] ?? []) as string[]))];
  if (revoked.length > 0) terminal.warn('revoked', { revoked }, `revoked writers:\n  ${revoked.join('\n  ')}`);
  if (members.every((member) => member.status === null)) {
    throw new OperationError('UNREACHABLE', 'No process of this cluster is running.', { remedy: 'Start it with `holdfast up`.' });
  }
}

async function ask(name: string, folder: string): Promise<MemberStatus> {
  try {
    const { body } = await askAdmin(folder, '/status');
    return { name, folder, status: body as Record<string, unknown> };
  } catch {
    return { name, folder, status: null };
  }
}

function describe(status: MemberStatus['status']): string[] {
  if (status === null) return ['down', '', '', ''];
  const space = status['space'] as { totalBytes: number; freeBytes: number } | undefined;
  return [
    status['ready'] === true ? 'serving' : 'starting',
    `pid ${String(status['pid'])}`,
    space === undefined ? '' : `${formatBytes(space.freeBytes)} free of ${formatBytes(space.totalBytes)}`,
    status['liveBytes'] === undefined ? '' : `${formatBytes(Number(status['liveBytes']))} live`,
  ];
}
