/** `holdfast up` as a person meets it: real processes, a real folder, the command line's own S3 commands. */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ControllerStatus } from '../../src/control/status.ts';
import { isPortFree } from '../../src/cli/cluster-folder.ts';
import { Program, buildPrograms, isAlive, readEndpointFile, runCommand, until } from './programs.ts';

const TIMEOUT_MS = 120_000;
let root: string;

beforeAll(() => {
  buildPrograms();
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-up-'));
}, TIMEOUT_MS);
afterAll(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function contentFile(name: string, bytes: number): string {
  const file = path.join(root, name);
  fs.writeFileSync(file, Buffer.alloc(bytes, `${name} `));
  return file;
}

describe('a running cluster', () => {
  let dir: string;
  let port: number;
  let up: Program;
  const start = async (): Promise<void> => {
    up = new Program(['up', '--dir', dir, '--port', String(port), '--json']);
    await up.event('ready');
  };

  beforeAll(async () => {
    dir = path.join(root, 'cluster');
    port = await freePort();
    await start();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await up.stop();
  }, TIMEOUT_MS);

  const untilRepair = (what: string, fits: (status: ControllerStatus) => boolean): Promise<void> =>
    until(what, async () => {
      const { code, stdout } = await runCommand('repair', '--dir', dir, '--json');
      return code === 0 && fits(JSON.parse(stdout) as ControllerStatus);
    }, 60_000);

  it('has written its endpoint, credentials and nodes into a file that only its user may read', () => {
    const endpoint = readEndpointFile(dir);
    expect(fs.statSync(path.join(dir, 'endpoint.json')).mode & 0o777).toBe(0o600);
    expect(endpoint.endpoint).toBe(`http://127.0.0.1:${port}`);
    expect(endpoint.nodes).toHaveLength(6);
    expect(new Set(endpoint.nodes.map((node) => node.pid)).size).toBe(6);
    for (const node of endpoint.nodes) expect(isAlive(node.pid ?? 0) && fs.existsSync(node.folder)).toBe(true);
  });

  it('prints no secret but the credentials that a person needs', async () => {
    expect(up.stdout).not.toContain(readEndpointFile(dir).secretAccessKey);
    const log = fs.readFileSync(path.join(dir, 'gateway.log'), 'utf8');
    expect(log).not.toContain(readEndpointFile(dir).secretAccessKey);
  });

  it('stores, lists, describes, gives back and removes objects', async () => {
    const file = contentFile('letter.txt', 3_000_000);
    expect(await runCommand('put', '--make-bucket', file, 'mail/in/', '--dir', dir)).toMatchObject({ code: 0 });
    const small = contentFile('small.txt', 100);
    expect(await runCommand('put', small, 'mail/small.txt', '--dir', dir)).toMatchObject({ code: 0 });
    const listed = await runCommand('ls', 'mail', '--dir', dir, '--json');
    expect(listed.stdout).toContain('"prefix":"in/"');
    expect(listed.stdout).toContain('"key":"small.txt"');
    expect(await runCommand('access', 'quota', '--bucket', 'mail', '--bytes', '5000000', '--dir', dir)).toMatchObject({ code: 0 });
    const usage = await runCommand('usage', '--dir', dir, '--json');
    expect(JSON.parse(usage.stdout)).toMatchObject({ bucket: 'mail', objects: 2, bytes: 3_000_100, quotaBytes: 5_000_000 });
    const stat = await runCommand('stat', 'mail/in/letter.txt', '--dir', dir, '--json');
    expect(JSON.parse(stat.stdout)).toMatchObject({ event: 'object', size: 3_000_000 });
    const copy = path.join(root, 'copy.txt');
    expect(await runCommand('get', 'mail/in/letter.txt', copy, '--dir', dir)).toMatchObject({ code: 0 });
    expect(fs.readFileSync(copy).equals(fs.readFileSync(file))).toBe(true);
    expect(await runCommand('rm', 'mail/small.txt', '--dir', dir)).toMatchObject({ code: 0 });
    expect(await runCommand('get', 'mail/small.txt', '--dir', dir)).toMatchObject({ code: 4 });
    expect(fs.existsSync('small.txt')).toBe(false);
  }, TIMEOUT_MS);

  it('is found whole by verify', async () => {
    const result = await runCommand('verify', '--dir', dir, '--json');
    expect(result, result.stdout).toMatchObject({ code: 0 });
    expect(JSON.parse(result.stdout)).toMatchObject({ event: 'verified', damaged: false, unreadable: 0 });
  }, TIMEOUT_MS);

  it('shows state and free space of each process', async () => {
    const result = await runCommand('status', '--dir', dir);
    expect(result.code).toBe(0);
    expect(result.stdout.match(/^(node \d|gateway) +serving/gm)).toHaveLength(7);
    expect(result.stdout).toMatch(/^controller +(serving|starting)/m);
    expect(result.stdout).toMatch(/node 5 .*free of/);
  }, TIMEOUT_MS);

  it('starts a killed node again, and reads go on meanwhile', async () => {
    const victim = readEndpointFile(dir).nodes[3]?.pid ?? 0;
    process.kill(victim, 'SIGKILL');
    expect(await runCommand('get', 'mail/in/letter.txt', '-', '--dir', dir)).toMatchObject({ code: 0 });
    await up.event('recovered', (fields) => fields['process'] === 'node 3');
    await until('endpoint.json names the new process', () => {
      const pid = readEndpointFile(dir).nodes[3]?.pid ?? null;
      return pid !== null && pid !== victim;
    });
  }, TIMEOUT_MS);

  it('fills a node again that has lost all of its cells and kept its log', async () => {
    const node = readEndpointFile(dir).nodes[2];
    await untilRepair('the cluster is whole', ({ health, versions }) => health === 'whole' && versions > 0);
    const journal = path.join(node?.folder ?? '', 'journal');
    for (const name of fs.readdirSync(journal)) if (name.startsWith('cells-')) fs.rmSync(path.join(journal, name));
    process.kill(node?.pid ?? 0, 'SIGKILL');
    await up.event('recovered', (fields) => fields['process'] === 'node 2');
    await untilRepair('what was lost is found, given back and audited', ({ health, repair }) => health === 'whole' && repair.given > 0);
    expect(await runCommand('verify', '--dir', dir)).toMatchObject({ code: 0 });
    const audit = await runCommand('audit', '--dir', dir);
    expect(audit.stdout).toContain('node 2: ');
  }, TIMEOUT_MS);

  it('refuses a second `up` on its folder and names the process', async () => {
    const second = await runCommand('up', '--dir', dir, '--port', String(await freePort()));
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('IN_USE');
    expect(second.stderr).toContain(String(up.pid));
  }, TIMEOUT_MS);

  it('refuses another geometry for an existing cluster', async () => {
    await up.stop();
    expect(await runCommand('up', '--dir', dir, '--port', String(port), '--data', '3')).toMatchObject({ code: 2 });
    await start();
  }, TIMEOUT_MS);

  it('stops all its processes, and has everything when it starts again', async () => {
    const pids = readEndpointFile(dir).nodes.map((node) => node.pid ?? 0);
    expect(await up.stop()).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
    expect(readEndpointFile(dir).nodes.every((node) => node.pid === null && node.state === 'stopped')).toBe(true);
    expect(await runCommand('get', 'mail/in/letter.txt', '-', '--dir', dir)).toMatchObject({ code: 5 });
    await start();
    const copy = path.join(root, 'again.txt');
    expect(await runCommand('get', 'mail/in/letter.txt', copy, '--dir', dir)).toMatchObject({ code: 0 });
    expect(fs.readFileSync(copy).equals(fs.readFileSync(path.join(root, 'letter.txt')))).toBe(true);
  }, TIMEOUT_MS);

  it('leaves no process behind when it is killed itself', async () => {
    const { gateway, nodes } = readEndpointFile(dir);
    const pids = [gateway.pid ?? 0, ...nodes.map((node) => node.pid ?? 0)];
    await up.stop('SIGKILL');
    await until('the children notice that their parent is gone', () => pids.every((pid) => !isAlive(pid)));
    await start();
  }, TIMEOUT_MS);

  it.each([
    ['emptied', (folder: string) => fs.rmSync(folder, { recursive: true })],
    ['without its journal', (folder: string) => fs.rmSync(path.join(folder, 'journal'), { recursive: true })],
  ])('names a node whose folder is %s as lost, leaves it alone and serves', async (_, harm) => {
    await up.stop();
    const kept = path.join(root, 'node-2.kept');
    fs.cpSync(path.join(dir, 'node-2'), kept, { recursive: true });
    harm(path.join(dir, 'node-2'));
    await start();
    expect(await up.event('lost')).toMatchObject({ process: 'node 2', code: 'LOST_STATE' });
    expect(await runCommand('get', 'mail/in/letter.txt', '-', '--dir', dir)).toMatchObject({ code: 0 });
    expect(await runCommand('put', contentFile('new.txt', 500_000), 'mail/', '--dir', dir)).toMatchObject({ code: 0 });
    expect(await runCommand('verify', '--dir', dir)).toMatchObject({ code: 3 });
    await up.stop();
    // The state it had when it was stopped is not older than what it promised, so it may come back.
    fs.rmSync(path.join(dir, 'node-2'), { recursive: true, force: true });
    fs.renameSync(kept, path.join(dir, 'node-2'));
    await start();
  }, TIMEOUT_MS);

  it('names a node that was restored from an older copy as lost', async () => {
    await up.stop();
    const older = path.join(root, 'node-4.older');
    fs.cpSync(path.join(dir, 'node-4'), older, { recursive: true });
    await start();
    await runCommand('put', contentFile('since.txt', 500_000), 'mail/', '--dir', dir);
    await up.stop();
    fs.rmSync(path.join(dir, 'node-4'), { recursive: true });
    fs.renameSync(older, path.join(dir, 'node-4'));
    await start();
    expect(await up.event('lost')).toMatchObject({ process: 'node 4', code: 'LOST_STATE' });
    const copy = path.join(root, 'since-copy.txt');
    expect(await runCommand('get', 'mail/since.txt', copy, '--dir', dir)).toMatchObject({ code: 0 });
    expect(fs.readFileSync(copy).equals(fs.readFileSync(path.join(root, 'since.txt')))).toBe(true);
  }, TIMEOUT_MS);
});

describe('a cluster with more than f nodes lost', () => {
  it('ends, and names them', async () => {
    const dir = path.join(root, 'lost');
    const port = String(await freePort());
    const first = new Program(['up', '--dir', dir, '--port', port, '--nodes', '4', '--data', '2', '--json']);
    await first.event('ready');
    await first.stop();
    for (const slot of [1, 3]) fs.rmSync(path.join(dir, `node-${slot}`), { recursive: true });
    const again = await runCommand('up', '--dir', dir, '--port', port);
    expect(again.code).toBe(6);
    expect(again.stderr).toMatch(/node 1 is LOST/);
    expect(again.stderr).toMatch(/node 3 is LOST/);
    expect(again.stderr).toMatch(/2 nodes are lost .* at most f = 1/);
  }, TIMEOUT_MS);
});

describe('a start that cannot go well says why and leaves nothing behind', () => {
  it('with a busy port', async () => {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as net.AddressInfo;
    const result = await runCommand('up', '--dir', path.join(root, 'busy'), '--port', String(port));
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('IN_USE');
    expect(result.stderr).toContain(String(port));
    server.close();
  }, TIMEOUT_MS);

  it('with numbers that do not fit', async () => {
    const dir = path.join(root, 'numbers');
    const result = await runCommand('up', '--dir', dir, '--data', '5');
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('k <= n-2f fails: k = 5, n-2f = 4');
    expect(fs.existsSync(dir)).toBe(false);
  }, TIMEOUT_MS);

  it('in a folder that is a file', async () => {
    const file = contentFile('file', 1);
    const result = await runCommand('up', '--dir', file, '--port', String(await freePort()));
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('is not a folder');
  }, TIMEOUT_MS);

  it.skipIf(process.getuid?.() === 0)('in a folder that cannot be written', async () => {
    const dir = path.join(root, 'read-only');
    fs.mkdirSync(dir, { mode: 0o500 });
    const result = await runCommand('up', '--dir', dir, '--port', String(await freePort()));
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('DISK_READ_ONLY');
  }, TIMEOUT_MS);

  it('with an unknown flag, a port that is none, or commands without their arguments', async () => {
    for (const args of [['up', '--prot', '1'], ['up', '--port', '0'], ['up', '--port', 'x'], ['put', 'x'], ['node', 'run'], ['nonsense']]) {
      expect(await runCommand(...args), args.join(' ')).toMatchObject({ code: 2 });
    }
    expect(await isPortFree('127.0.0.1', await freePort())).toBe(true);
  }, TIMEOUT_MS);
});
