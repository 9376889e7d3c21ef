/** Identities, join requests and the first configuration, in real folders. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import { decodeEvidence, EVIDENCE_BYTES_MAX } from '../evidence/evidence.ts';
import { judgeEvidence } from '../evidence/judge.ts';
import { NodeDisk } from '../platform/disk.ts';
import { bindCluster, boundCluster } from './bound-cluster.ts';
import { openOrCreateCluster, openUpFolder } from './cluster-folder.ts';
import {
  FRESH_FILE,
  IDENTITY_FILE,
  adminKeysOf,
  initGateway,
  initNode,
  newAdminSeeds,
  readGatewayIdentity,
  readNodeIdentity,
  writeAdmin,
} from './identity-folder.ts';
import { clusterInit, gatewayInit, nodeInit } from './init-commands.ts';
import { readJoinRequest, writeJoinRequest } from './join-request.ts';
import { makeRootConfiguration, openConfiguration } from './root-configuration.ts';
import { systemRandom } from './system-ports.ts';
import { processTerminal } from './terminal.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-members-'));
});
afterEach(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

function folder(name: string): NodeDisk {
  const full = path.join(root, name);
  fs.mkdirSync(full, { recursive: true });
  return new NodeDisk(full);
}

/** Any member may be bound. */
const anyone = (): void => undefined;

const mode = (...names: string[]): number => fs.statSync(path.join(root, ...names)).mode & 0o777;

describe('an identity', () => {
  it('is read back as it was made, from a file that only its user may read', async () => {
    const made = await initNode(folder('n'), systemRandom, '10.0.0.1:7000', 'north');
    const read = await readNodeIdentity(folder('n'));
    expect(hex(read.id)).toBe(hex(made.id));
    expect(hex(read.tlsKey)).not.toBe(hex(read.signingKey.publicKey));
    expect(read).toMatchObject({ role: 'node', address: '10.0.0.1:7000', domain: 'north' });
    expect(mode('n', IDENTITY_FILE)).toBe(0o600);
    expect(fs.existsSync(path.join(root, 'n', FRESH_FILE))).toBe(true);
  });

  it('is never replaced in place', async () => {
    await initNode(folder('n'), systemRandom, 'a:1', 'd');
    await expect(initNode(folder('n'), systemRandom, 'a:1', 'd')).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await writeAdmin(folder('a'), newAdminSeeds(systemRandom));
    await expect(writeAdmin(folder('a'), newAdminSeeds(systemRandom))).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  it('that is gone is lost state, and one that is damaged is corrupt', async () => {
    await expect(readNodeIdentity(folder('n'))).rejects.toMatchObject({ code: 'LOST_STATE' });
    fs.writeFileSync(path.join(root, 'n', IDENTITY_FILE), '{"v":1');
    await expect(readNodeIdentity(folder('n'))).rejects.toMatchObject({ code: 'CORRUPT' });
    fs.writeFileSync(path.join(root, 'n', IDENTITY_FILE), '{"v":2,"role":"node"}');
    await expect(readNodeIdentity(folder('n'))).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('of a gateway is not taken for that of a node, nor the other way round', async () => {
    await initGateway(folder('g'), systemRandom);
    await initNode(folder('n'), systemRandom, 'a:1', 'd');
    await expect(readNodeIdentity(folder('g'))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(readGatewayIdentity(folder('n'))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  it.each(['nowhere', 'host:', ':1', 'host:123456', 'a b:1'])('refuses the address %s', async (address) => {
    await expect(initNode(folder('n'), systemRandom, address, 'd')).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    expect(fs.existsSync(path.join(root, 'n', IDENTITY_FILE))).toBe(false);
  });
});

describe('a join request', () => {
  it('carries the public half of an identity and verifies', async () => {
    const identity = await initNode(folder('n'), systemRandom, '10.0.0.1:7000', 'north');
    const text = writeJoinRequest(identity);
    expect(readJoinRequest(text, 'n')).toMatchObject({ role: 'node', address: '10.0.0.1:7000', domain: 'north' });
    const secrets = fs.readFileSync(path.join(root, 'n', IDENTITY_FILE), 'utf8').match(/[0-9a-f]{64}/g) ?? [];
    expect(secrets).toHaveLength(2);
    for (const secret of secrets) expect(text).not.toContain(secret);
  });

  it('is refused when any field was changed', async () => {
    const text = writeJoinRequest(await initNode(folder('n'), systemRandom, '10.0.0.1:7000', 'north'));
    const other = JSON.parse(writeJoinRequest(await initNode(folder('m'), systemRandom, '10.0.0.2:7000', 'south'))) as Record<string, unknown>;
    const own = JSON.parse(text) as Record<string, unknown>;
    for (const field of ['id', 'signingKey', 'tlsKey', 'address', 'domain', 'signature']) {
      const forged = JSON.stringify({ ...own, [field]: other[field] });
      expect(() => readJoinRequest(forged, 'forged'), field).toThrow(/not a valid join request/);
    }
    expect(() => readJoinRequest(JSON.stringify({ ...own, extra: 1 }), 'forged')).toThrow(/not a valid join request/);
    expect(() => readJoinRequest('nonsense', 'forged')).toThrow(/not JSON/);
  });
});

describe('the first configuration', () => {
  async function joins(count: number): Promise<ReturnType<typeof readJoinRequest>[]> {
    const made = [];
    for (let i = 0; i < count; i += 1) {
      made.push(readJoinRequest(writeJoinRequest(await initNode(folder(`n${i}`), systemRandom, `127.0.0.1:${7000 + i}`, `d${i}`)), 'n'));
    }
    made.push(readJoinRequest(writeJoinRequest(await initGateway(folder('g'), systemRandom)), 'g'));
    return made;
  }

  it('names the members in order and verifies like any other', async () => {
    const admin = adminKeysOf(newAdminSeeds(systemRandom));
    const cluster = makeRootConfiguration({ clusterId: systemRandom.bytes(32), joins: await joins(6), f: 1, k: 4, admin, nowMs: 1 });
    expect(cluster.slots.map((slot) => slot.domain)).toEqual(['d0', 'd1', 'd2', 'd3', 'd4', 'd5']);
    expect(cluster.geometry).toEqual({ n: 6, f: 1, k: 4 });
    const damaged = Uint8Array.from(cluster.document);
    damaged[damaged.length - 5] = (damaged[damaged.length - 5] ?? 0) ^ 1;
    expect(() => openConfiguration(damaged, 'damaged')).toThrow(/damaged is refused/);
  });

  it.each([
    [6, 1, 5, 'k <= n-2f fails: k = 5, n-2f = 4'],
    [6, 2, 2, 'n >= 3f+1 fails: n = 6, 3f+1 = 7'],
    [6, 1, 1, 'k >= f+1 fails: k = 1, f+1 = 2'],
    [4, 0, 2, 'f >= 1 fails: f = 0'],
  ])('with n = %d, f = %d, k = %d is refused with the inequality', async (n, f, k, inequality) => {
    const admin = adminKeysOf(newAdminSeeds(systemRandom));
    const all = await joins(n);
    expect(() => makeRootConfiguration({ clusterId: systemRandom.bytes(32), joins: all, f, k, admin, nowMs: 1 })).toThrow(inequality);
  });

  it('binds a folder: another configuration is refused from then on', async () => {
    const admin = adminKeysOf(newAdminSeeds(systemRandom));
    const all = await joins(4);
    for (const name of ['one.cfg', 'two.cfg']) {
      const cluster = makeRootConfiguration({ clusterId: systemRandom.bytes(32), joins: all, f: 1, k: 2, admin, nowMs: 1 });
      fs.writeFileSync(path.join(root, name), cluster.document);
    }
    const node = folder('n0');
    await expect(boundCluster(node)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    const bound = await bindCluster(node, path.join(root, 'one.cfg'), anyone);
    expect(hex((await boundCluster(node)).hash)).toBe(hex(bound.hash));
    await expect(bindCluster(node, path.join(root, 'two.cfg'), anyone)).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    expect(await node.exists('evidence')).toBe(false);
  });

  it('keeps the proof, when the admins have signed two configurations of one epoch (E9)', async () => {
    const admin = adminKeysOf(newAdminSeeds(systemRandom));
    const all = await joins(4);
    const clusterId = systemRandom.bytes(32);
    const documents = [1, 2].map((nowMs) => makeRootConfiguration({ clusterId, joins: all, f: 1, k: 2, admin, nowMs }));
    for (const [i, { document }] of documents.entries()) fs.writeFileSync(path.join(root, `${i}.cfg`), document);
    const node = folder('n0');
    const bound = await bindCluster(node, path.join(root, '0.cfg'), anyone);
    await expect(bindCluster(node, path.join(root, '1.cfg'), anyone)).rejects.toMatchObject({ code: 'BAD_CONFIG', remedy: expect.stringContaining('evidence/E9-admins-') as string });
    const [file = ''] = await node.list('evidence');
    const read = decodeEvidence(await node.readFile(`evidence/${file}`, EVIDENCE_BYTES_MAX));
    expect(read.ok && judgeEvidence(bound, read.value, 0)).toMatchObject({ proven: true, finding: { accused: { kind: 'admins' } } });
  });
});

describe('the init commands', () => {
  it('make a cluster by hand, and keep every secret to its folder', async () => {
    const files: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      const file = path.join(root, `n${i}.json`);
      fs.writeFileSync(file, await nodeInit({ dir: path.join(root, `n${i}`), address: `127.0.0.1:${7000 + i}`, domain: `d${i}` }));
      files.push(file);
    }
    const gateway = path.join(root, 'g.json');
    fs.writeFileSync(gateway, await gatewayInit({ dir: path.join(root, 'g'), ownerFrom: undefined }));
    const config = await clusterInit({ dir: path.join(root, 'a'), joins: files, controllers: [], gateways: [gateway], f: 1, k: 2, terminal: processTerminal(true) });
    expect(openConfiguration(fs.readFileSync(config), config).geometry).toEqual({ n: 4, f: 1, k: 2 });
    for (const name of ['owner.json', 'access-keys.json', IDENTITY_FILE]) expect(mode('g', name)).toBe(0o600);
    expect(mode('a', 'admin.json')).toBe(0o600);
  });

  it('share an owner between two gateways', async () => {
    await gatewayInit({ dir: path.join(root, 'g1'), ownerFrom: undefined });
    await gatewayInit({ dir: path.join(root, 'g2'), ownerFrom: path.join(root, 'g1') });
    const owner = (name: string): string => fs.readFileSync(path.join(root, name, 'owner.json'), 'utf8');
    expect(owner('g2')).toBe(owner('g1'));
  });
});

describe('the folder of `up`', () => {
  const unasked = { n: undefined, f: undefined, k: undefined };

  it('is made once, and found as it is from then on', async () => {
    const dir = await openUpFolder(path.join(root, 'up'));
    const made = await openOrCreateCluster(dir, { n: 5, f: 1, k: 3 });
    expect(made.created).toBe(true);
    const ports = made.cluster.slots.map((slot) => slot.addresses[0]);
    expect(new Set(ports).size).toBe(5);
    const found = await openOrCreateCluster(await openUpFolder(dir), unasked);
    expect(found.created).toBe(false);
    expect(hex(found.cluster.hash)).toBe(hex(made.cluster.hash));
    await expect(openOrCreateCluster(dir, { ...unasked, k: 2 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });

  it('is continued when the first start was interrupted, and never made anew over nodes that have run', async () => {
    const dir = await openUpFolder(path.join(root, 'up'));
    const first = await openOrCreateCluster(dir, unasked);
    fs.rmSync(first.configFile);
    const second = await openOrCreateCluster(dir, unasked);
    expect(second.cluster.slots.map((slot) => hex(slot.nodeId))).toEqual(first.cluster.slots.map((slot) => hex(slot.nodeId)));
    fs.rmSync(second.configFile);
    fs.rmSync(path.join(dir, 'node-2', FRESH_FILE));
    await expect(openOrCreateCluster(dir, unasked)).rejects.toMatchObject({ code: 'LOST_STATE' });
  });

  it('is refused when it holds something else', async () => {
    fs.writeFileSync(path.join(root, 'thesis.txt'), 'x');
    await expect(openUpFolder(root)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
  });
});
