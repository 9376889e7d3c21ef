/**
 * The folder of `holdfast up`: six (or as many as asked) node folders, the gateway's, the controller's, the administrator's, and
 * the signed configuration, which is written last. While it is missing nothing has ever run, so an
 * interrupted first start is simply continued; once it exists nothing is ever made again, and a member folder
 * that is gone stays gone.
 */
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { OperationError } from '../base/errors.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { requireGeometry } from '../protocol/quorum.ts';
import type { Geometry } from '../protocol/quorum.ts';
import { NodeDisk } from '../platform/disk.ts';
import { readDocument } from './bound-cluster.ts';
import {
  ADMIN_FILE,
  CONFIG_FILE,
  FRESH_FILE,
  IDENTITY_FILE,
  newAdminSeeds,
  readAdmin,
  readControllerIdentity,
  readGatewayIdentity,
  readNodeIdentity,
  writeAdmin,
  OWNER_FILE,
} from './identity-folder.ts';
import { controllerInit, gatewayInit, makeMemberFolder, nodeInit, unwritable } from './init-commands.ts';
import { readJoinRequest, writeJoinRequest } from './join-request.ts';
import type { JoinRequest } from './join-request.ts';
import { makeRootConfiguration, openConfiguration } from './root-configuration.ts';
import { systemClock, systemRandom } from './system-ports.ts';

export const DEFAULT_GEOMETRY = { n: 6, f: 1, k: 4 } as const;
const HOST = '127.0.0.1';
/** Below the range from which systems take ports of outgoing connections, so that they stay free between runs. */
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
const PORT_TRIES = 200;

export interface ClusterFolder {
  readonly path: string;
  readonly configFile: string;
  readonly cluster: Cluster;
  /** False when it existed before. */
  readonly created: boolean;
}

/** What flags asked for; undefined where they did not. */
export interface AskedGeometry {
  readonly n: number | undefined;
  readonly f: number | undefined;
  readonly k: number | undefined;
}

export function nodeFolder(dir: string, slot: number): string {
  return path.join(dir, `node-${slot}`);
}

export function gatewayFolder(dir: string): string {
  return path.join(dir, 'gateway');
}

export function controllerFolder(dir: string): string {
  return path.join(dir, 'controller');
}

/** The folder of the controller meant: the one given, or that in the folder of `holdfast up`. NOT_FOUND. */
export function controllerFolderOf(dir: string): string {
  const inside = controllerFolder(dir);
  if (existsSync(path.join(inside, IDENTITY_FILE))) return inside;
  if (existsSync(path.join(dir, IDENTITY_FILE)) && !existsSync(path.join(dir, OWNER_FILE))) return dir;
  throw new OperationError('NOT_FOUND', `${dir} is neither the folder of a cluster with a controller nor of a controller.`, {
    remedy: 'Name one with --dir. A cluster that was made by an earlier version has none.',
  });
}

/** The folder of the gateway meant: the one given, or that in the folder of `holdfast up`. NOT_FOUND. */
export function ownerFolder(dir: string): string {
  for (const folder of [dir, gatewayFolder(dir)]) if (existsSync(path.join(folder, OWNER_FILE))) return folder;
  throw new OperationError('NOT_FOUND', `${dir} is neither the folder of a cluster nor of a gateway.`, {
    remedy: 'Name one with --dir.',
  });
}

/** As `ownerFolder`, of any member with an identity: also one that has no owner's secret. NOT_FOUND. */
export function memberFolder(dir: string): string {
  for (const folder of [dir, gatewayFolder(dir)]) if (existsSync(path.join(folder, IDENTITY_FILE))) return folder;
  throw new OperationError('NOT_FOUND', `${dir} is neither the folder of a cluster nor of a gateway.`, { remedy: 'Name one with --dir.' });
}

/** BAD_GEOMETRY before anything is made, when the cluster is still to be made. */
export function requireAskedGeometry(dir: string, asked: AskedGeometry): void {
  if (!existsSync(path.join(dir, CONFIG_FILE))) geometryOf(asked);
}

function geometryOf(asked: AskedGeometry): Geometry {
  return requireGeometry(asked.n ?? DEFAULT_GEOMETRY.n, asked.f ?? DEFAULT_GEOMETRY.f, asked.k ?? DEFAULT_GEOMETRY.k);
}

/** The cluster of a folder, made when there is none yet. The caller holds the folder's lock. */
export async function openOrCreateCluster(dir: string, asked: AskedGeometry): Promise<ClusterFolder> {
  const configFile = path.join(dir, CONFIG_FILE);
  const disk = new NodeDisk(dir);
  if (await disk.exists(CONFIG_FILE)) {
    const cluster = openConfiguration(await readDocument(configFile), configFile);
    refuseOtherGeometry(cluster.geometry, asked);
    return { path: dir, configFile, cluster, created: false };
  }
  const cluster = await createCluster(dir, disk, geometryOf(asked));
  return { path: dir, configFile, cluster, created: true };
}

async function createCluster(dir: string, disk: NodeDisk, geometry: Geometry): Promise<Cluster> {
  const joins: JoinRequest[] = [];
  const taken = new Set<number>();
  for (let slot = 0; slot < geometry.n; slot += 1) {
    joins.push(await nodeJoin(nodeFolder(dir, slot), slot, taken));
  }
  const gateway = await makeMemberFolder(gatewayFolder(dir));
  if (!(await gateway.exists(IDENTITY_FILE))) await gatewayInit({ dir: gatewayFolder(dir), ownerFrom: undefined });
  joins.push(readJoinRequest(writeJoinRequest(await readGatewayIdentity(gateway)), 'the gateway'));
  const controller = await makeMemberFolder(controllerFolder(dir));
  if (!(await controller.exists(IDENTITY_FILE))) await controllerInit(controllerFolder(dir));
  joins.push(readJoinRequest(writeJoinRequest(await readControllerIdentity(controller)), 'the controller'));
  const adminDisk = await makeMemberFolder(path.join(dir, 'admin'));
  if (!(await adminDisk.exists(ADMIN_FILE))) await writeAdmin(adminDisk, newAdminSeeds(systemRandom));
  const admin = await readAdmin(adminDisk);
  const cluster = makeRootConfiguration({
    clusterId: systemRandom.bytes(32),
    joins,
    f: geometry.f,
    k: geometry.k,
    admin,
    nowMs: systemClock.nowMs(),
  });
  await disk.writeFile(CONFIG_FILE, cluster.document);
  return cluster;
}

async function nodeJoin(folder: string, slot: number, taken: Set<number>): Promise<JoinRequest> {
  const disk = await makeMemberFolder(folder);
  if (await disk.exists(IDENTITY_FILE)) {
    if (!(await disk.exists(FRESH_FILE))) {
      throw new OperationError('LOST_STATE', `${folder} has run before, but ${CONFIG_FILE} beside it is missing.`, {
        remedy: `Put it back from the copy in any node's folder.`,
      });
    }
  } else {
    await nodeInit({ dir: folder, address: `${HOST}:${await freePort(taken)}`, domain: `node-${slot}.local` });
  }
  return readJoinRequest(writeJoinRequest(await readNodeIdentity(disk)), folder);
}

function refuseOtherGeometry(geometry: Geometry, asked: AskedGeometry): void {
  for (const name of ['n', 'f', 'k'] as const) {
    if (asked[name] === undefined || asked[name] === geometry[name]) continue;
    throw new OperationError('BAD_ARGUMENT', `The cluster in this folder has ${name} = ${geometry[name]}, not ${asked[name]}.`, {
      remedy: 'Leave the flag out, or choose another folder for another cluster.',
    });
  }
}

async function freePort(taken: Set<number>): Promise<number> {
  for (let tries = 0; tries < PORT_TRIES; tries += 1) {
    const [high = 0, low = 0] = systemRandom.bytes(2);
    const port = PORT_MIN + ((high * 256 + low) % (PORT_MAX - PORT_MIN));
    if (taken.has(port)) continue;
    taken.add(port);
    if (await isPortFree(HOST, port)) return port;
  }
  throw new OperationError('IN_USE', `No free port was found between ${PORT_MIN} and ${PORT_MAX}.`);
}

export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** The folder for `up`, made when missing. Refuses one that holds something else, and one that cannot be written. */
export async function openUpFolder(dir: string): Promise<string> {
  const folder = path.resolve(dir);
  await makeMemberFolder(folder);
  let names: string[];
  try {
    names = await fs.readdir(folder);
    const probe = path.join(folder, `.write-probe-${process.pid}`);
    await fs.writeFile(probe, '');
    await fs.rm(probe);
  } catch (error) {
    throw unwritable(folder, error);
  }
  const member = [IDENTITY_FILE, ADMIN_FILE].find((name) => names.includes(name));
  if (member !== undefined) {
    throw new OperationError('BAD_ARGUMENT', `${folder} is the folder of one member: it holds ${member}.`, {
      remedy: 'Name the folder of the cluster, or a new one, with --dir.',
    });
  }
  const ours = /^(cluster\.cfg|endpoint\.json|admin|gateway|controller|node-\d+|.*\.log(\.1)?|.*lock(\.takeover)?|\..*)$/;
  const foreign = names.filter((name) => !ours.test(name));
  if (!names.includes(CONFIG_FILE) && foreign.length > 0) {
    throw new OperationError('BAD_ARGUMENT', `${folder} holds other things (${foreign.slice(0, 3).join(', ')}).`, {
      remedy: 'Choose an empty or new folder with --dir.',
    });
  }
  return folder;
}
