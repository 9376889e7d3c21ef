/** The command line in process: every wrong use of its contract. As a process: test/cluster/command-line.test.ts. */
import fs from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { commandLineContract } from './command-line.contract.ts';
import type { Ran, RunCommand } from './command-line.contract.ts';
import { runProgram } from './program.ts';

class Captured extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

async function runHere(...args: readonly string[]): Promise<Ran> {
  const [stdout, stderr] = [new Captured(), new Captured()];
  const code = await runProgram(args, { stdout, stderr });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

commandLineContract('in process', runHere);

describe('docs/cli.md', () => {
  it('names every command and every flag, and no others', async () => {
    const document = fs.readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'cli.md'), 'utf8');
    const { commands, flags } = await offered(runHere);
    const named = [...document.matchAll(/holdfast ((?:node|gateway|controller|cluster|access|webhook|evidence|bucket|writer|log) [a-z]+|[a-z]+)/g)].map(([, command]) => command);
    expect([...new Set(named)].filter((command) => command !== 'help').toSorted()).toEqual(commands);
    // npm's own flags are said behind `npm run`.
    const text = document.replaceAll(/npm run.*/g, '');
    const said = new Set([...text.matchAll(/--[a-z][a-z0-9-]*/g)].map(([flag]) => flag));
    expect([...said].toSorted()).toEqual(flags);
  });
});

/** All commands and flags, by their own help. */
async function offered(run: RunCommand): Promise<{ readonly commands: string[]; readonly flags: string[] }> {
  const commands: string[] = [];
  const flags = new Set<string>();
  const visit = async (words: readonly string[]): Promise<void> => {
    const { stdout } = await run(...words, '--help');
    const [options = '', inner = ''] = stdout.split(/^Commands:$/m);
    for (const [, flag] of options.matchAll(/^ {2}(?:-\w, )?(--[a-z][a-z0-9-]*)/gm)) if (flag !== undefined) flags.add(flag);
    const names = [...inner.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name ?? '').filter((name) => name !== 'help');
    if (names.length === 0) commands.push(words.join(' '));
    for (const name of names) await visit([...words, name]);
  };
  await visit([]);
  return { commands: commands.toSorted(), flags: [...flags].filter((flag) => flag !== '--help' && flag !== '--version').toSorted() };
}
