/**
 * `node init`, `gateway init`, `controller init` and `cluster init`: each member makes its own keys in its own folder and hands
 * out a join request; the administrator turns the requests into the signed configuration. No secret ever
 * leaves the folder it was made in.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { hex, utf8 } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import { holderCount, quorumSize } from '../protocol/quorum.ts';
import { NodeDisk } from '../platform/disk.ts';
import { initOwner, readRootSecret } from './gateway-folder.ts';
import {
  ADMIN_FILE,
  CONFIG_FILE,
  OWNER_FILE,
  OWNER_FILES,
  adminKeysOf,
  initController,
  initGateway,
  initNode,
  newAdminSeeds,
  refuseExisting,
  requirePlace,
  writeAdmin,
} from './identity-folder.ts';
import { readJoinRequestFile, writeJoinRequest } from './join-request.ts';
import { makeRootConfiguration, shortId } from './root-configuration.ts';
import { systemClock, systemRandom } from './system-ports.ts';
import type { Terminal } from './terminal.ts';

export const JOIN_FILE = 'join.json';
const FOLDER_MODE = 0o700;

/** Makes the folder, private to its user, unless it exists. */
export async function makeMemberFolder(dir: string): Promise<NodeDisk> {
  const folder = path.resolve(dir);
  try {
    await fs.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    throw unwritable(folder, error);
  }
  return new NodeDisk(folder);
}

/** Why a folder cannot be made or written: no room, or not allowed. */
export function unwritable(folder: string, cause: unknown): OperationError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  if (errno === 'ENOTDIR' || errno === 'EEXIST' || errno === 'ELOOP' || errno === 'ENAMETOOLONG') {
    return new OperationError('BAD_ARGUMENT', `${folder} is not a folder and cannot become one: ${errno}.`, { cause, remedy: 'Choose another one with --dir.' });
  }
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new OperationError('DISK_FULL', `The disk of ${folder} has no room.`, { cause, remedy: 'Free space, or choose another folder with --dir.' });
  }
  return new OperationError('DISK_READ_ONLY', `The folder ${folder} cannot be written: ${errno}.`, {
    cause,
    remedy: 'Give your user the permission to write there, or choose another folder with --dir.',
  });
}

export interface NodeInitOptions {
  readonly dir: string;
  readonly address: string;
  readonly domain: string;
}

/** Returns the join request, which also lies in the folder. */
export async function nodeInit(options: NodeInitOptions): Promise<string> {
  requirePlace(options.address, options.domain);
  const disk = await makeMemberFolder(options.dir);
  const request = writeJoinRequest(await initNode(disk, systemRandom, options.address, options.domain));
  await disk.writeFile(JOIN_FILE, utf8(request));
  return request;
}

export interface GatewayInitOptions {
  readonly dir: string;
  /** Folder of another gateway of the same owner, whose root secret this one shares. */
  readonly ownerFrom: string | undefined;
}

export async function gatewayInit(options: GatewayInitOptions): Promise<string> {
  const imported = options.ownerFrom === undefined ? undefined : await ownerOf(options.ownerFrom);
  const disk = await makeMemberFolder(options.dir);
  await refuseExisting(disk, ...OWNER_FILES);
  // The secret first: an identity in a folder says that the secret was there.
  await initOwner(disk, systemRandom, systemClock.nowMs(), imported);
  const request = writeJoinRequest(await initGateway(disk, systemRandom));
  await disk.writeFile(JOIN_FILE, utf8(request));
  return request;
}

async function ownerOf(folder: string): Promise<Uint8Array> {
  try {
    return await readRootSecret(new NodeDisk(path.resolve(folder)));
  } catch (error) {
    if (!isOperationError(error, 'LOST_STATE')) throw error;
    throw new OperationError('NOT_FOUND', `${folder} holds no ${OWNER_FILE}.`, {
      cause: error,
      remedy: 'Name the folder of a gateway of the same owner with --owner-from.',
    });
  }
}

/** Returns the join request, which also lies in the folder. */
export async function controllerInit(dir: string): Promise<string> {
  const disk = await makeMemberFolder(dir);
  const request = writeJoinRequest(await initController(disk, systemRandom));
  await disk.writeFile(JOIN_FILE, utf8(request));
  return request;
}

export interface ClusterInitOptions {
  /** Folder for the administrator's keys and the configuration. */
  readonly dir: string;
  /** Files with join requests of storage nodes, in order of slots. */
  readonly joins: readonly string[];
  readonly gateways: readonly string[];
  readonly controllers: readonly string[];
  readonly f: number;
  readonly k: number;
  readonly terminal: Terminal;
}

/** Returns the path of the signed configuration. */
export async function clusterInit(options: ClusterInitOptions): Promise<string> {
  const requests = await Promise.all(
    [...options.joins, ...options.gateways, ...options.controllers].map((file) => readJoinRequestFile(file)),
  );
  const wantedRoles = [...options.joins.map(() => 'node'), ...options.gateways.map(() => 'gateway'), ...options.controllers.map(() => 'controller')];
  for (const [index, request] of requests.entries()) {
    const wanted = wantedRoles[index];
    if (wanted === undefined || request.role === wanted) continue;
    throw new OperationError('BAD_ARGUMENT', `A join request of a ${request.role} was given as that of a ${wanted}.`);
  }
  const seeds = newAdminSeeds(systemRandom);
  // Before anything is made: a request that is refused leaves no folder behind that the next one would find.
  const cluster = makeRootConfiguration({
    clusterId: systemRandom.bytes(32),
    joins: requests,
    f: options.f,
    k: options.k,
    admin: adminKeysOf(seeds),
    nowMs: systemClock.nowMs(),
  });
  const disk = await makeMemberFolder(options.dir);
  await writeAdmin(disk, seeds);
  await disk.writeFile(CONFIG_FILE, cluster.document);
  const file = path.join(path.resolve(options.dir), CONFIG_FILE);
  const { n, f, k } = cluster.geometry;
  options.terminal.say(
    'cluster',
    { clusterId: hex(cluster.id), configHash: hex(cluster.hash), config: file, n, f, k },
    [
      `cluster ${shortId(cluster.id)}: ${n} nodes, ${f} of them may be faulty, ${k} cells restore a stripe`,
      `  a write waits for ${quorumSize({ n, f })} receipts and ${holderCount({ n, f })} acknowledgements`,
      `  configuration  ${file}  (hand it to every member; it holds no secret)`,
      `  hash           ${hex(cluster.hash)}`,
      `  admin keys     ${path.join(path.resolve(options.dir), ADMIN_FILE)}  (secret, mode 0600: whoever holds them can change the cluster; keep them off line)`,
    ].join('\n'),
  );
  return file;
}
