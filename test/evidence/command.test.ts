/** `holdfast evidence`, as a stranger uses it: with a file and the root document, and nothing else. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { encodeEvidence } from '../../src/evidence/evidence.ts';
import { cluster, other, samples } from './samples.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-evidence-'));
const at = (name: string, bytes: Uint8Array): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, bytes);
  return file;
};
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

async function run(...args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const said = { stdout: '', stderr: '' };
  const to = (stream: 'stdout' | 'stderr') => ({ write: (text: string) => ((said[stream] += text), true), isTTY: false });
  const code = await runProgram(args, { stdout: to('stdout'), stderr: to('stderr') } as never);
  return { code, ...said };
}

describe('evidence in a file', () => {
  const file = at('e3.cbor', encodeEvidence(samples.E3));
  const root = at('cluster.cfg', cluster.document);
  const foreign = at('other.cfg', other.document);

  it('is verified with the root document alone, in plain words', async () => {
    const { code, stdout } = await run('evidence', 'verify', file, '--config', root);
    expect(code).toBe(0);
    expect(stdout).toContain('proven: E3');
    expect(stdout).toContain('node 2, operated by domain-2');
    expect(stdout).toContain('does not extend');
  });

  it('proves nothing under another root, or when it was changed', async () => {
    expect(await run('evidence', 'verify', file, '--config', foreign)).toMatchObject({ code: 3 });
    const shown = await run('evidence', 'show', file, '--config', foreign);
    expect(shown).toMatchObject({ code: 0 });
    expect(shown.stdout).toContain('not proven');
    const bytes = encodeEvidence(samples.E3);
    const broken = at('broken.cbor', bytes.subarray(0, bytes.length - 1));
    expect(await run('evidence', 'verify', broken, '--config', root)).toMatchObject({ code: 3 });
    expect(await run('evidence', 'verify', path.join(folder, 'nothing.cbor'), '--config', root)).toMatchObject({ code: 4 });
  });

  it('is listed with whom it accuses', async () => {
    const gateway = path.join(folder, 'gateway');
    fs.mkdirSync(path.join(gateway, 'evidence'), { recursive: true });
    fs.writeFileSync(path.join(gateway, 'owner.json'), '{}');
    expect((await run('evidence', 'list', '--dir', gateway, '--config', root)).stdout).toContain('no evidence');
    fs.writeFileSync(path.join(gateway, 'evidence', 'E1-writer-x.cbor'), encodeEvidence(samples.E1));
    fs.writeFileSync(path.join(gateway, 'evidence', 'E9-admins-x.cbor'), Uint8Array.of(1, 2, 3));
    const { stdout } = await run('evidence', 'list', '--dir', gateway, '--config', root, '--json');
    const { evidence } = JSON.parse(stdout) as { evidence: { kind: string; accused: string }[] };
    expect(evidence.map(({ kind, accused }) => [kind, accused.replace(/-.*/, '')])).toEqual([['E1', 'writer'], ['-', 'nobody']]);
  });
});
