/** `holdfast evidence`, as a stranger uses it: with a file and the root document, and nothing else. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { encodeEvidence, EVIDENCE_TYPES } from '../../src/evidence/evidence.ts';
import type { Evidence } from '../../src/evidence/evidence.ts';
import { encode } from '../../src/protocol/encoding.ts';
import { cluster, manifestOf, other, samples, signedBy } from './samples.ts';

const one = manifestOf();

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

  it.each(EVIDENCE_TYPES.filter((type) => type !== 'E7'))('%s is explained to who reads it first', async (type) => {
    const { code, stdout } = await run('evidence', 'show', at(`${type}.cbor`, encodeEvidence(samples[type])), '--config', root);
    expect(code).toBe(0);
    for (const part of [`proven: ${type}, `, 'accused: ', 'it is ', 'signed by the accused:', 'why no correct member signs this: ', 'what the words mean: ', 'what to do: ']) {
      expect(stdout).toContain(part);
    }
  });

  it('tells a loss from a lie', async () => {
    const said = async (evidence: Evidence): Promise<unknown> => {
      const { stdout } = await run('evidence', 'verify', at('weighed.cbor', encodeEvidence(evidence)), '--config', root, '--json');
      return (JSON.parse(stdout) as { weight: unknown }).weight;
    };
    expect(await said(samples.E6)).toBe('loss-or-lie');
    expect(await said(samples['E6-row'])).toBe('lie');
    const lack = { v: 1, code: 'HOLE', manifestHash: one.hash, contentId: one.manifest.contentId, stripe: 0, slot: 1, epoch: 1, max: null };
    expect(await said({ ...samples.E6, lack: signedBy(1, 'not-held', encode(lack)) })).toBe('loss');
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
    const found = JSON.parse(stdout) as { evidence: { kind: string; accused: string }[] };
    const { evidence } = found;
    expect(evidence.map(({ kind, accused }) => [kind, accused.replace(/-.*/, '')])).toEqual([['E1', 'writer'], ['-', 'nobody']]);
    // In a folder of members: what each of them has.
    const node = path.join(folder, 'node-0', 'evidence');
    fs.mkdirSync(node, { recursive: true });
    fs.writeFileSync(path.join(node, 'E3-node-2-x.cbor'), encodeEvidence(samples.E3));
    const all = await run('evidence', 'list', '--dir', folder, '--config', root, '--json');
    expect((JSON.parse(all.stdout) as typeof found).evidence.map(({ kind }) => kind)).toEqual(['E1', '-', 'E3']);
  });
});
