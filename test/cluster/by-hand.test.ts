/** The pieces that `up` is made of, each used alone: six folders, six join requests, one configuration. */
import fs from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askAdmin } from '../../src/cli/admin-socket.ts';
import { S3Client } from '../../src/cli/s3-client.ts';
import { makeTlsIdentity } from '../../src/platform/tls-identity.ts';
import { Program, buildPrograms, runCommand, until } from './programs.ts';

const TIMEOUT_MS = 120_000;
const SLOTS = [0, 1, 2, 3, 4, 5];
const PORT_BASE = 18_100 + (process.pid % 150) * 8;

describe('a cluster made by hand', () => {
  let root: string;
  const at = (...names: string[]): string => path.join(root, ...names);
  const nodes = new Map<number, Program>();
  let gateway: Program;
  let client: S3Client;

  const runNode = (slot: number, ...more: string[]): void => {
    nodes.set(slot, new Program(['node', 'run', '--dir', at(`n${slot}`), ...more]));
  };
  const isReady = async (folder: string): Promise<boolean> =>
    askAdmin(folder, '/health/ready').then(({ status }) => status === 200, () => false);

  beforeAll(async () => {
    buildPrograms();
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-hand-'));
    for (const slot of SLOTS) {
      const args = ['--dir', at(`n${slot}`), '--address', `127.0.0.1:${PORT_BASE + slot}`, '--domain', `operator-${slot}`];
      const made = await runCommand('node', 'init', ...args);
      expect(made, made.stderr).toMatchObject({ code: 0 });
      fs.writeFileSync(at(`n${slot}.json`), made.stdout);
    }
    fs.writeFileSync(at('g.json'), (await runCommand('gateway', 'init', '--dir', at('g'))).stdout);
    const joins = SLOTS.flatMap((slot) => ['--join', at(`n${slot}.json`)]);
    const cluster = await runCommand('cluster', 'init', '--dir', at('a'), ...joins, '--gateway', at('g.json'), '--f', '1', '--k', '4');
    expect(cluster, cluster.stderr).toMatchObject({ code: 0 });
    for (const slot of SLOTS) runNode(slot, '--config', at('a', 'cluster.cfg'));
    gateway = new Program(['gateway', 'run', '--dir', at('g'), '--config', at('a', 'cluster.cfg'), '--port', String(PORT_BASE + 7)]);
    await until('the gateway serves', () => isReady(at('g')), 60_000);
    const keys = JSON.parse(fs.readFileSync(at('g', 'access-keys.json'), 'utf8')) as { accessKeys: { accessKeyId: string; secretAccessKey: string }[] };
    const [key] = keys.accessKeys;
    if (key === undefined) throw new Error('the gateway has an access key');
    client = new S3Client({ endpoint: `http://127.0.0.1:${PORT_BASE + 7}`, region: 'us-east-1', ...key });
  }, TIMEOUT_MS);

  afterAll(async () => {
    client?.close();
    await gateway?.stop();
    await Promise.all([...nodes.values()].map((node) => node.stop()));
    fs.rmSync(root, { recursive: true, force: true });
  }, TIMEOUT_MS);

  it('stores and gives back an object', async () => {
    const bytes = Buffer.alloc(2_000_000, 'by hand ');
    await client.createBucket('hand');
    await client.put('hand', 'made', { size: bytes.length, open: async function* () { yield bytes; } }, 'text/plain');
    const { body } = await client.get('hand', 'made');
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part);
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    expect(await runCommand('verify', '--dir', at('g'))).toMatchObject({ code: 0 });
  }, TIMEOUT_MS);

  it('keeps every secret in its folder and every admin door to its user', () => {
    for (const slot of SLOTS) {
      expect(fs.statSync(at(`n${slot}`, 'identity.json')).mode & 0o777).toBe(0o600);
      expect(fs.statSync(at(`n${slot}`, 'admin.sock')).mode & 0o777).toBe(0o600);
    }
  });

  it('answers on the admin door what it is asked, and nothing else', async () => {
    expect(await askAdmin(at('n0'), '/health/live')).toMatchObject({ status: 200 });
    expect(await askAdmin(at('n0'), '/status')).toMatchObject({ status: 200, body: { slot: 0, state: 'SERVING' } });
    expect(await askAdmin(at('n0'), '/etc/passwd')).toMatchObject({ status: 404 });
  });

  it('needs no configuration argument any more, and takes no other one', async () => {
    await nodes.get(1)?.stop();
    runNode(1);
    await until('node 1 serves', () => isReady(at('n1')));
    const joins = SLOTS.flatMap((slot) => ['--join', at(`n${slot}.json`)]);
    await runCommand('cluster', 'init', '--dir', at('b'), ...joins, '--gateway', at('g.json'));
    await nodes.get(1)?.stop();
    const refused = await runCommand('node', 'run', '--dir', at('n1'), '--config', at('b', 'cluster.cfg'));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('BAD_CONFIG');
    runNode(1);
    await until('node 1 serves', () => isReady(at('n1')));
  }, TIMEOUT_MS);

  it('refuses a node of another cluster, a second process on a folder, and a folder that lost its journal', async () => {
    const stranger = await runCommand('node', 'init', '--dir', at('s'), '--address', '127.0.0.1:1', '--domain', 's');
    expect(stranger.code).toBe(0);
    expect(await runCommand('node', 'run', '--dir', at('s'), '--config', at('a', 'cluster.cfg'))).toMatchObject({ code: 1 });
    const second = await runCommand('node', 'run', '--dir', at('n2'));
    expect(second).toMatchObject({ code: 1 });
    expect(second.stderr).toContain(String(nodes.get(2)?.pid));
    await nodes.get(5)?.stop();
    fs.rmSync(at('n5', 'journal'), { recursive: true });
    expect(await runCommand('node', 'run', '--dir', at('n5'))).toMatchObject({ code: 6 });
    expect((await client.head('hand', 'made')).size).toBe(2_000_000);
  }, TIMEOUT_MS);

  it('speaks TLS where others can reach it, with the certificate given', async () => {
    const tls = await makeTlsIdentity({ seed: new Uint8Array(32).fill(9), commonName: 'localhost' });
    fs.writeFileSync(at('cert.pem'), tls.certificatePem);
    fs.writeFileSync(at('key.pem'), tls.privateKeyPem, { mode: 0o600 });
    await gateway.stop();
    const flags = ['--tls-cert', at('cert.pem'), '--tls-key', at('key.pem')];
    gateway = new Program(['gateway', 'run', '--dir', at('g'), '--listen', `0.0.0.0:${PORT_BASE + 7}`, ...flags]);
    await until('the gateway serves', () => isReady(at('g')), 60_000);
    const status = await new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: PORT_BASE + 7, path: '/hand/made', ca: tls.certificatePem, checkServerIdentity: () => undefined };
      https.get(options, (response) => resolve(response.resume().statusCode)).on('error', reject);
    });
    expect(status).toBe(403);
  }, TIMEOUT_MS);

  it('refuses plain HTTP on an address that others can reach', async () => {
    await gateway.stop();
    const refused = await runCommand('gateway', 'run', '--dir', at('g'), '--listen', `0.0.0.0:${PORT_BASE + 7}`);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('plain HTTP');
  }, TIMEOUT_MS);
});
