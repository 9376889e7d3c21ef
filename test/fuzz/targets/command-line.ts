/**
 * The command line as a process of its own, in a folder of its own: whatever the arguments are, it ends with one
 * of its exit codes and one line of reason, never with a stack. The commands are those that end by themselves.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { utf8 } from '../../../src/base/bytes.ts';
import { EXIT } from '../../../src/cli/exit-codes.ts';
import { buildPrograms, PROGRAM } from '../../cluster/programs.ts';
import { holds } from '../decoder.ts';
import type { Outcome, Subject, Target } from '../engine.ts';

const SERVERS: readonly string[] = ['up', 'run'];
const CODES: readonly (number | null)[] = Object.values(EXIT);

/** Arguments stand between zero bytes, as on a Unix system. None may leave the folder or start a server. */
function argumentsIn(input: Uint8Array): string[] {
  const texts = Buffer.from(input).toString('utf8').split('\0').slice(0, 40);
  return texts.map((text) => (path.isAbsolute(text) || text.includes('..') || SERVERS.includes(text) ? 'x' : text.slice(0, 4_000)));
}

class CommandSubject implements Subject {
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-fuzz-'));

  async attempt(input: Uint8Array): Promise<Outcome> {
    fs.rmSync(this.#folder, { recursive: true });
    fs.mkdirSync(this.#folder);
    const child = spawn(process.execPath, [PROGRAM, ...argumentsIn(input)], { cwd: this.#folder, stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    const code = await new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
    holds(CODES.includes(code), `exit code ${String(code)}: ${said.slice(-500)}`);
    holds(!/^ {4}at /m.test(said) && !said.includes('INTERNAL'), `a stack is shown: ${said.slice(0, 1_000)}`);
    return code === EXIT.ok ? 'accepted' : 'refused';
  }

  close(): Promise<void> {
    fs.rmSync(this.#folder, { recursive: true, force: true });
    return Promise.resolve();
  }
}

const line = (...words: readonly string[]): Uint8Array => utf8(words.join('\0'));

export const commandLineTargets: readonly Target[] = [
  {
    name: 'command-line',
    covers: [],
    format: { form: 'text', words: ['\0', '--', '--json', '--dir', '--f', '--port', '-h', '--help', 'init', 'node', 'cluster', 'bucket/key', '-1', '0', 's3://'] },
    seeds: () => [line('node', 'init', '--dir', 'n', '--address', '127.0.0.1:7000', '--domain', 'a'), line('help', 'put')],
    lends: () => [
      line('ls', 'bucket/prefix', '--dir', 'none', '--json'),
      line('get', 'bucket/key', '-', '--dir', 'none'),
      line('put', 'file', 's3://bucket/key', '--make-bucket', '--content-type', 'a/b'),
      line('cluster', 'init', '--dir', 'c', '--join', 'a', '--join', 'b', '--gateway', 'g', '--f', '1', '--k', '2'),
      line('status', '--dir', 'none'),
      line('verify', '--json'),
    ],
    open: () => {
      buildPrograms();
      return new CommandSubject();
    },
    inputs: 8,
    takesMs: 15_000,
  },
];
