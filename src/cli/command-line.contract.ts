/**
 * What the command line keeps (docs/cli.md), in process and as a process: a wrong use is answered with the
 * exit code of its kind and one line on standard error, or with one JSON object on standard output, and makes
 * and changes nothing.
 */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../base/errors.ts';
import { EXIT } from './exit-codes.ts';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type RunCommand = (...args: readonly string[]) => Promise<Ran>;

const LONG = 'x'.repeat(5_000);

/** `$` stands for the scratch folder. What is done wrong, the exit code, and what the line says of it. */
const WRONG_USES: readonly (readonly [readonly string[], number, RegExp])[] = [
  // Words.
  [['nonsense'], EXIT.usage, /nonsense/],
  [['node', 'nonsense'], EXIT.usage, /nonsense/],
  [['status', 'x'], EXIT.usage, /too many arguments/i],
  [['put', 'x'], EXIT.usage, /bucket\/key/],
  [['up', '--prot', '1'], EXIT.usage, /--prot/],
  [['stat', '--dir', '$/none', '-x', 'b/k'], EXIT.usage, /-x/],
  [['stat', 'b/k', '--dir'], EXIT.usage, /--dir/],
  [['status', '--dir', '$/none', '--dir', '$/none'], EXIT.usage, /given twice/],
  [['up', '--dir', '$/none', '--port', '1', '--port', '2'], EXIT.usage, /given twice/],
  [['gateway', 'run', '--dir', '$/none', '--uploads-max', '0'], EXIT.usage, /--uploads-max/],
  [['gateway', 'run', '--dir', '$/none', '--upload-bytes-max', '1GB'], EXIT.usage, /--upload-bytes-max/],
  [['node', 'run'], EXIT.usage, /--dir/],
  [['node', 'init', '--dir', '$/none'], EXIT.usage, /--address/],
  [['a\nb\u001b[2J\u202e'], EXIT.usage, /a b/],
  [[LONG], EXIT.usage, /xxx/],
  // Numbers.
  ...['0', '65536', '-1', '1.5', '1e3', '0x1f', ' 1', 'x', '', '９０００', '9'.repeat(400)].map(
    (port) => [['up', '--dir', '$/none', '--port', port], EXIT.usage, /--port/] as const,
  ),
  [['up', '--dir', '$/none', '--nodes', '3', '--faults', '1'], EXIT.usage, /3f\+1/],
  [['up', '--dir', '$/none', '--data', '5'], EXIT.usage, /k <= n-2f/],
  [['up', '--dir', '$/none', '--faults', '0'], EXIT.usage, /f/],
  [['up', '--dir', '$/none', '--nodes', '999999999'], EXIT.usage, /n/],
  [['cluster', 'init', '--dir', '$/none', '--f', '1', '--k', '2'], EXIT.usage, /n/],
  // Folders.
  [['status', '--dir', ''], EXIT.usage, /empty/],
  [['status', '--dir', LONG], EXIT.usage, /too long/],
  [['status', '--dir', '$/none'], EXIT.notFound, /No cluster has run/],
  [['verify', '--dir', '$/none'], EXIT.notFound, /none/],
  [['up', '--dir', '$/file'], EXIT.usage, /not a folder/],
  [['up', '--dir', '$/file/below'], EXIT.usage, /not a folder/],
  [['up', '--dir', '$/foreign'], EXIT.usage, /letter\.txt/],
  [['up', '--dir', '$/node'], EXIT.usage, /identity\.json/],
  [['node', 'run', '--dir', '$/none'], EXIT.lostState, /does not exist/],
  [['node', 'run', '--dir', '$/file'], EXIT.usage, /not a folder/],
  [['node', 'run', '--dir', '$/foreign'], EXIT.lostState, /no identity/],
  [['node', 'run', '--dir', '$/node'], EXIT.usage, /--config/],
  [['node', 'run', '--dir', '$/node', '--config', '$/none'], EXIT.notFound, /none/],
  [['node', 'run', '--dir', '$/node', '--config', '$/file'], EXIT.failure, /BAD_CONFIG/],
  [['node', 'run', '--dir', '$/node', '--config', '/dev/zero'], EXIT.failure, /BAD_CONFIG/],
  [['node', 'run', '--dir', '$/node', '--listen', 'nowhere'], EXIT.usage, /nowhere/],
  [['gateway', 'run', '--dir', '$/node', '--config', '$/file'], EXIT.usage, /node/],
  [['gateway', 'run', '--dir', '$/gateway'], EXIT.usage, /--config/],
  [['gateway', 'run', '--dir', '$/gateway', '--listen', '127.0.0.1:99999'], EXIT.usage, /99999/],
  [['gateway', 'run', '--dir', '$/gateway', '--tls-cert', '$/file'], EXIT.usage, /--tls-key/],
  [['gateway', 'run', '--dir', '$/gateway', '--tls-cert', '$/none', '--tls-key', '$/file'], EXIT.notFound, /none/],
  [['gateway', 'run', '--dir', '$/gateway', '--tls-cert', '/dev/zero', '--tls-key', '$/file'], EXIT.usage, /zero/],
  // What is made once.
  [['node', 'init', '--dir', '$/node', '--address', '10.0.0.1:7000', '--domain', 'd'], EXIT.failure, /ALREADY_EXISTS/],
  [['controller', 'init', '--dir', '$/gateway'], EXIT.failure, /ALREADY_EXISTS/],
  [['controller', 'run', '--dir', '$/gateway', '--config', '$/file'], EXIT.usage, /gateway/],
  [['controller', 'run', '--dir', '$/none', '--gateway-dir', '$/gateway', '--authority', '$/file'], EXIT.usage, /not from both/],
  [['controller', 'run', '--dir', '$/none', '--audit-period', '0'], EXIT.usage, /--audit-period/],
  [['audit', '--dir', '$/none'], EXIT.notFound, /controller/],
  [['repair', '--dir', '$/gateway'], EXIT.notFound, /controller/],
  [['gateway', 'authority', '--dir', '$/gateway', '--controller', 'zz'], EXIT.usage, /--config/],
  [['cluster', 'init', '--dir', '$/new', '--controller', '$/node/join.json'], EXIT.usage, /as that of a controller/],
  [['gateway', 'init', '--dir', '$/node'], EXIT.failure, /ALREADY_EXISTS/],
  [['gateway', 'init', '--dir', '$/gateway'], EXIT.failure, /ALREADY_EXISTS/],
  [['gateway', 'init', '--dir', '$/new', '--owner-from', '$/none'], EXIT.notFound, /owner\.json/],
  [['gateway', 'init', '--dir', '$/file'], EXIT.usage, /not a folder/],
  ...['', 'x', 'a:b', 'a:65536', 'http://a:1', 'a b:1', '[::1:1', `${'a'.repeat(300)}:1`].map(
    (address) => [['node', 'init', '--dir', '$/new', '--address', address, '--domain', 'd'], EXIT.usage, /BAD_ARGUMENT/] as const,
  ),
  ...['', 'x'.repeat(101), 'a\u001b[2Jb', 'a\nb'].map(
    (domain) => [['node', 'init', '--dir', '$/new', '--address', '10.0.0.1:7000', '--domain', domain], EXIT.usage, /--domain/] as const,
  ),
  [['cluster', 'init', '--dir', '$/new', '--join', '$/none'], EXIT.notFound, /none/],
  [['cluster', 'init', '--dir', '$/new', '--join', '$/file'], EXIT.failure, /BAD_CONFIG/],
  [['cluster', 'init', '--dir', '$/new', '--join', '/dev/zero'], EXIT.failure, /BAD_CONFIG/],
  [['cluster', 'init', '--dir', '$/new', '--gateway', '$/node/join.json'], EXIT.usage, /as that of a gateway/],
  [['cluster', 'init', '--dir', '$/new', ...Array<string[]>(4).fill(['--join', '$/node/join.json']).flat(), '--k', '2'], EXIT.usage, /gateway/],
  [
    ['cluster', 'init', '--dir', '$/new', ...Array<string[]>(4).fill(['--join', '$/node/join.json']).flat(), '--gateway', '$/gateway/join.json', '--k', '2'],
    EXIT.failure,
    /BAD_CONFIG/,
  ],
  // Objects.
  [['get', '--dir', '$/none', 'b/k', '$/new'], EXIT.notFound, /No cluster has run/],
  [['put', '--dir', '$/none', '$/file', 'b/k'], EXIT.notFound, /No cluster has run/],
  [['put', '--dir', '$/none', '$/none', 'b/k'], EXIT.notFound, /cannot be read/],
  [['put', '--dir', '$/none', '$/node', 'b/k'], EXIT.usage, /not a file/],
  [['put', '--dir', '$/none', '/dev/zero', 'b/k'], EXIT.usage, /not a file/],
  [['put', '--dir', '$/none', '$/file', '/k'], EXIT.usage, /no bucket/],
  [['get', '--dir', '$/none', 'b'], EXIT.usage, /not an object/],
  [['stat', '--dir', '$/none', 'b'], EXIT.usage, /not an object/],
  [['rm', '--dir', '$/none', ''], EXIT.usage, /no bucket/],
  [['get', '--dir', '$/stopped', 'b/k', '$/new'], EXIT.unavailable, /UNREACHABLE/],
  [['status', '--dir', '$/damaged'], EXIT.damage, /endpoint\.json/],
];

/** `share` of the wrong uses are tried: all of them, or every so many-th one where each costs a process. */
export function commandLineContract(label: string, run: RunCommand, share: { readonly every: number } = { every: 1 }): void {
  describe(`the command line, ${label}`, () => {
    let scratch = '';
    beforeAll(async () => {
      scratch = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-command-line-'));
      await prepare(scratch, run);
    });
    afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

    const uses = WRONG_USES.filter((_, index) => index % share.every === 0);
    it.each(uses.map(([args, code, says]) => [nameOf(args), args, code, says] as const))('%s is refused', async (_, args, code, says) => {
      const here = args.map((arg) => (arg.startsWith('$') ? scratch + arg.slice(1) : arg));
      const before = everything(scratch);
      const ran = await run(...here);
      expect(ran).toMatchObject({ code, stdout: '' });
      expectOneLine(ran.stderr);
      expect(ran.stderr).toMatch(says);
      expect(everything(scratch)).toEqual(before);
      if (!takesJson(args)) return;
      const told = await run(here[0] ?? '', '--json', ...here.slice(1));
      expect(told).toMatchObject({ code, stderr: '' });
      expectOneLine(told.stdout);
      const error = JSON.parse(told.stdout) as Record<string, unknown>;
      expect(error).toMatchObject({ event: 'error', message: expect.any(String) as string });
      expect(Object.keys(ERROR_CODES)).toContain(error['code']);
    });

    it('without a command shows the help on standard error, as a wrong use', async () => {
      const ran = await run();
      expect(ran).toMatchObject({ code: EXIT.usage, stdout: '' });
      expect(ran.stderr).toContain('Usage: holdfast');
    });

    it('says its version, and its help on standard output when it is asked for', async () => {
      expect(await run('--version')).toMatchObject({ code: EXIT.ok, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string, stderr: '' });
      expect(await run('help')).toMatchObject({ code: EXIT.ok, stderr: '' });
    });

    it('makes the members of a cluster, and says what it made as one JSON object a line', async () => {
      const dir = fs.mkdtempSync(path.join(scratch, 'made-'));
      const requests: string[] = [];
      for (let i = 0; i < 4; i += 1) {
        const made = await run('node', 'init', '--dir', path.join(dir, `n${i}`), '--address', `10.0.0.${i}:7000`, '--domain', `d${i}`);
        expect(made).toMatchObject({ code: EXIT.ok, stderr: '' });
        expect(JSON.parse(made.stdout)).toMatchObject({ v: 1, role: 'node', domain: `d${i}` });
        fs.writeFileSync(path.join(dir, `n${i}.json`), made.stdout);
        requests.push('--join', path.join(dir, `n${i}.json`));
      }
      const gateway = await run('gateway', 'init', '--dir', path.join(dir, 'gw'));
      fs.writeFileSync(path.join(dir, 'gw.json'), gateway.stdout);
      const made = await run('cluster', 'init', '--dir', path.join(dir, 'admin'), ...requests, '--gateway', path.join(dir, 'gw.json'), '--k', '2', '--json');
      expect(made).toMatchObject({ code: EXIT.ok, stderr: '' });
      const lines = made.stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines.map((line) => line['event'])).toEqual(expect.arrayContaining(['cluster']));
      expect(fs.existsSync(path.join(dir, 'admin', 'cluster.cfg'))).toBe(true);
    });
  });
}

/** A file, a node, a gateway, a folder of something else, a cluster that is stopped and one that is damaged. */
async function prepare(scratch: string, run: RunCommand): Promise<void> {
  fs.writeFileSync(path.join(scratch, 'file'), 'just text\n');
  await run('node', 'init', '--dir', path.join(scratch, 'node'), '--address', '10.0.0.1:7000', '--domain', 'north');
  await run('gateway', 'init', '--dir', path.join(scratch, 'gateway'));
  fs.mkdirSync(path.join(scratch, 'foreign'));
  fs.writeFileSync(path.join(scratch, 'foreign', 'letter.txt'), 'Dear reader\n');
  const endpoint = { v: 1, endpoint: 'http://127.0.0.1:1', region: 'r', accessKeyId: 'a', secretAccessKey: 's', pid: null, gateway: { pid: null, folder: scratch }, nodes: [] };
  for (const [name, text] of [['stopped', JSON.stringify(endpoint)], ['damaged', '{']] as const) {
    fs.mkdirSync(path.join(scratch, name));
    fs.writeFileSync(path.join(scratch, name, 'endpoint.json'), text);
  }
}

/** All files with their sizes. */
function everything(folder: string): string[] {
  const entries = fs.readdirSync(folder, { recursive: true, withFileTypes: true });
  const lines = entries.map((entry) => {
    const file = path.join(entry.parentPath, entry.name);
    return `${path.relative(folder, file)} ${entry.isFile() ? fs.statSync(file).size : 'folder'}`;
  });
  return lines.toSorted();
}

function takesJson([command]: readonly string[]): boolean {
  return ['up', 'put', 'get', 'ls', 'rm', 'stat', 'status', 'verify'].includes(command ?? '');
}

function nameOf(args: readonly string[]): string {
  const name = JSON.stringify(args.join(' '));
  return name.length > 100 ? `${name.slice(0, 100)}…` : name;
}

function expectOneLine(text: string): void {
  expect(text.endsWith('\n')).toBe(true);
  expect(text.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u);
  expect(text.length).toBeGreaterThan(10);
  expect(text.length).toBeLessThan(7_000);
}
