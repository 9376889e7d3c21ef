/** The files of all folders keep their contract, read from the real disk and from the simulated one. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe } from 'vitest';
import { fromUtf8, hex } from '../base/bytes.ts';
import type { Disk } from '../base/ports.ts';
import { NodeDisk } from '../platform/disk.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { ENDPOINT_FILE, readEndpoint, writeEndpoint } from './endpoint-file.ts';
import type { FolderFile } from './folder-file.contract.ts';
import { folderFileContract } from './folder-file.contract.ts';
import { FOLDER_FILE_BYTES_MAX } from './folder-json.ts';
import { initOwner, readAccessKeys, readRootSecret } from './gateway-folder.ts';
import {
  ACCESS_KEYS_FILE,
  ADMIN_FILE,
  IDENTITY_FILE,
  OWNER_FILE,
  initGateway,
  initNode,
  newAdminSeeds,
  readAdmin,
  readGatewayIdentity,
  readNodeIdentity,
  writeAdmin,
} from './identity-folder.ts';
import { readJoinRequestFile, writeJoinRequest } from './join-request.ts';
import { systemRandom } from './system-ports.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-folder-files-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const DISKS: readonly (readonly [string, () => Disk])[] = [
  ['the real disk', () => new NodeDisk(mkdtempSync(path.join(root, 'd-')))],
  ['the simulated disk', () => new FaultyDisk()],
];

/** A public key, and what derives from secrets, is not secret; a text is told by its first half already. */
async function fileOf(disk: Disk, name: string, secrets: (text: string) => readonly string[], read: () => Promise<unknown>, bytesMax: number): Promise<FolderFile> {
  const text = fromUtf8(await disk.readFile(name, bytesMax));
  return {
    name,
    text,
    secrets: secrets(text).map((secret) => secret.slice(0, 20)),
    codes: ['CORRUPT'],
    bytesMax,
    read: async (bytes) => {
      // Whoever damages a file does not sync it.
      if (disk instanceof NodeDisk) writeFileSync(path.join(disk.root, name), bytes);
      else await disk.writeFile(name, bytes);
      return plain(await read());
    },
    stored: () => disk.readFile(name, 1 << 24),
  };
}

/** Keys compare by what they are, not by their methods. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, inner: unknown) => (inner instanceof Uint8Array ? hex(inner) : inner)));
}

const seeds = (text: string): string[] => text.match(/[0-9a-f]{64}/g) ?? [];

describe.each(DISKS)('on %s', (_, makeDisk) => {
  folderFileContract("node's identity", async () => {
    const disk = makeDisk();
    await initNode(disk, systemRandom, '10.0.0.1:7000', 'north');
    return fileOf(disk, IDENTITY_FILE, seeds, () => readNodeIdentity(disk), FOLDER_FILE_BYTES_MAX);
  });

  folderFileContract("gateway's identity", async () => {
    const disk = makeDisk();
    await initGateway(disk, systemRandom);
    return fileOf(disk, IDENTITY_FILE, seeds, () => readGatewayIdentity(disk), FOLDER_FILE_BYTES_MAX);
  });

  folderFileContract("administrator's file of keys", async () => {
    const disk = makeDisk();
    await writeAdmin(disk, newAdminSeeds(systemRandom));
    return fileOf(disk, ADMIN_FILE, seeds, () => readAdmin(disk), FOLDER_FILE_BYTES_MAX);
  });

  folderFileContract("file of the owner's secret", async () => {
    const disk = makeDisk();
    await initOwner(disk, systemRandom, 5, undefined);
    return fileOf(disk, OWNER_FILE, seeds, () => readRootSecret(disk), FOLDER_FILE_BYTES_MAX);
  });

  folderFileContract('file of access keys', async () => {
    const disk = makeDisk();
    await initOwner(disk, systemRandom, 5, undefined);
    const secrets = (text: string): string[] => text.match(/[\w-]{40}/g) ?? [];
    return fileOf(disk, ACCESS_KEYS_FILE, secrets, () => readAccessKeys(disk), 8 * 1024 * 1024);
  });

  folderFileContract('file of the endpoint', async () => {
    const disk = makeDisk();
    await writeEndpoint(disk, {
      v: 1,
      endpoint: 'http://127.0.0.1:9000',
      region: 'us-east-1',
      accessKeyId: 'AKIDAKIDAKIDAKIDAKID',
      secretAccessKey: 'never-to-be-said',
      pid: 7,
      gateway: { pid: null, folder: '/x/gateway' },
      nodes: [{ id: 'n', slot: 0, pid: 8, folder: '/x/node-0', address: '127.0.0.1:7000', state: 'serving' }],
    });
    const file = await fileOf(disk, ENDPOINT_FILE, () => ['never-to-be-said'], () => readEndpoint(disk, '/x'), 128 * 1024);
    return { ...file, nullable: ['pid'] };
  });
});

describe.each(['node', 'gateway'] as const)('from anywhere, of a %s', (role) => {
  folderFileContract('join request', async () => {
    const disk = new FaultyDisk();
    const identity = role === 'node' ? await initNode(disk, systemRandom, '10.0.0.1:7000', 'north') : await initGateway(disk, systemRandom);
    const file = path.join(mkdtempSync(path.join(root, 'j-')), 'request.json');
    return {
      name: file,
      text: writeJoinRequest(identity),
      secrets: seeds(fromUtf8(await disk.readFile(IDENTITY_FILE, 1e5))),
      codes: ['BAD_CONFIG'],
      bytesMax: 16 * 1024,
      read: async (bytes) => {
        writeFileSync(file, bytes);
        return plain(await readJoinRequestFile(file));
      },
      stored: () => Promise.resolve(new Uint8Array(readFileSync(file))),
    };
  });
});
