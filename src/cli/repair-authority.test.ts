/** Authority to repair from a gateway's folder to a controller, as a document that a person carries. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import { NodeDisk } from '../platform/disk.ts';
import { repairAuthorityFault } from '../protocol/repair-authority.ts';
import { StatementVerifier } from '../protocol/statement.ts';
import { bindCluster, boundCluster } from './bound-cluster.ts';
import { gatewayAuthority } from './controller-commands.ts';
import { readControllerIdentity } from './identity-folder.ts';
import { clusterInit, controllerInit, gatewayInit, nodeInit } from './init-commands.ts';
import { authorityFromFile, openAuthority } from './repair-authority.ts';
import { processTerminal } from './terminal.ts';

let root: string;
const inRoot = (...names: readonly string[]): string => path.join(root, ...names);

beforeEach(async () => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-authority-'));
  const joins: string[] = [];
  const asked = (name: string, text: string): string => {
    fs.writeFileSync(inRoot(name), text);
    return inRoot(name);
  };
  for (let i = 0; i < 4; i += 1) joins.push(asked(`n${i}.json`, await nodeInit({ dir: inRoot(`n${i}`), address: `127.0.0.1:${7000 + i}`, domain: `d${i}` })));
  const gateways = [asked('g.json', await gatewayInit({ dir: inRoot('g'), ownerFrom: undefined }))];
  const controllers = [asked('c.json', await controllerInit(inRoot('c')))];
  const quiet = { ...processTerminal(true), say: () => undefined };
  const config = await clusterInit({ dir: inRoot('a'), joins, gateways, controllers, f: 1, k: 2, terminal: quiet });
  await bindCluster(new NodeDisk(inRoot('g')), config, () => undefined);
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

describe('authority to repair', () => {
  it('lets the controller that it names repair for a day, and no other', async () => {
    const cluster = await boundCluster(new NodeDisk(inRoot('g')));
    const { id } = await readControllerIdentity(new NodeDisk(inRoot('c')));
    expect(cluster.writerById(id)?.capabilities).toEqual(['repair']);
    fs.writeFileSync(inRoot('authority'), await gatewayAuthority(inRoot('g'), hex(id.subarray(0, 4))));
    const given = await authorityFromFile(inRoot('authority'))();
    if (given === null) throw new Error('none was given');
    const fault = (controllerId: Uint8Array, inHours: number): string | null =>
      repairAuthorityFault(cluster, new StatementVerifier(cluster.id), given, controllerId, Date.now() + inHours * 3600_000);
    expect(fault(id, 0)).toBeNull();
    expect(fault(id, 23)).toBeNull();
    expect(fault(id, 25)).toContain('ended');
    expect(fault(cluster.config.writers[0]?.gatewayId ?? id, 0)).toContain('another controller');
  });

  it('is not signed for whom the configuration does not name as a controller', async () => {
    const gateway = (await boundCluster(new NodeDisk(inRoot('g')))).config.writers[0]?.gatewayId ?? new Uint8Array(32);
    await expect(gatewayAuthority(inRoot('g'), hex(gateway))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(gatewayAuthority(inRoot('g'), '')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  it('is refused as anything but what was printed', async () => {
    fs.writeFileSync(inRoot('authority'), 'no JSON');
    await expect(authorityFromFile(inRoot('authority'))()).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    expect(() => openAuthority({ v: 1, authority: 'abcd' }, 'a file')).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }) as Error);
  });
});
