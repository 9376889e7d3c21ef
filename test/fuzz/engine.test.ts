/** The engine sees what it is there for: canaries with planted faults, each found; and the same inputs from the same seed. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { equal, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/sim/seeded-random.ts';
import { decoder, holds, operationErrors } from './decoder.ts';
import { fuzz, inputAt, INPUT_MS_MAX, tryOne } from './engine.ts';
import { mutate } from './mutate.ts';
import { treeOfCbor, writeCbor } from './tree.ts';
import { CERTIFICATES } from './valid.ts';
import { OperationError } from '../../src/base/errors.ts';

const SEED = CERTIFICATES[0] ?? utf8('');

function canary(accepts: (input: Uint8Array) => boolean | Promise<boolean>, refuses?: (error: unknown) => boolean) {
  return decoder({ name: 'canary', covers: [], format: { form: 'bytes' }, seeds: () => [SEED], accepts, ...(refuses === undefined ? {} : { refuses }) });
}

async function found(target: ReturnType<typeof canary>): Promise<string> {
  const { findings } = await fuzz(target, { seed: '1', saved: [], count: 300 });
  return findings[0]?.what ?? 'nothing';
}

describe('the engine finds', () => {
  const isLonger = (input: Uint8Array): boolean => input.length > SEED.length;

  it('an error of another kind, also one that is thrown later', async () => {
    const refuses = operationErrors('CORRUPT');
    expect(await found(canary((input) => new DataView(SEED.buffer, SEED.byteOffset, SEED.length).getUint8(isLonger(input) ? SEED.length : 0) > 0, refuses))).toContain('RangeError');
    expect(await found(canary((input) => (isLonger(input) ? Promise.reject(new TypeError('no property of undefined')) : Promise.resolve(true)), refuses))).toContain('TypeError');
    expect(await found(canary((input) => { if (isLonger(input)) throw new OperationError('BUSY', 'busy'); return true; }, refuses))).toContain('busy');
  });

  it('a stack that overflows', async () => {
    const deeper = (input: Uint8Array): number => (isLonger(input) ? 1 + deeper(input) : 0);
    expect(await found(canary((input) => deeper(input) === 0))).toContain('Maximum call stack');
  });

  it('a property that does not hold', async () => {
    expect(await found(canary((input) => { holds(!isLonger(input), 'no input grows'); return true; }))).toContain('no input grows');
  });

  it('a seed that is refused', async () => {
    expect(await found(canary(() => false))).toContain('seed input 0 is refused');
  });

  it('memory that one input takes, and memory that stays', async () => {
    const kept: Uint8Array[] = [];
    expect(await found(canary((input) => new Uint8Array(isLonger(input) ? 100 * 1024 * 1024 : 1).length > 0))).toContain('allocated');
    expect(await found(canary(() => kept.push(new Uint8Array(1024 * 1024)) > 0))).toContain('bytes stay');
    kept.length = 0;
  });

  it('an input that takes too long', async () => {
    const slow = (input: Uint8Array): boolean => {
      const until = performance.now() + (isLonger(input) ? INPUT_MS_MAX + 100 : 0);
      while (performance.now() < until) Math.sqrt(input.length);
      return true;
    };
    expect(await found(canary(slow))).toMatch(/took \d+ ms/);
  });

  it('a subject that no longer works after a batch', async () => {
    let tried = 0;
    const target = { ...canary(() => true), open: () => ({ attempt: () => ((tried += 1), 'accepted' as const), check: () => (tried > 100 ? Promise.reject(new Error('it died')) : Promise.resolve()) }) };
    expect(await found(target)).toContain('it died');
  });

  it('a hang: the process says which input, and ends', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-watchdog-'));
    const source = fs.readFileSync('test/fuzz/watchdog.ts', 'utf8');
    const { outputText } = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 } });
    fs.writeFileSync(path.join(folder, 'watchdog.mjs'), outputText);
    const main = `import { Watchdog } from './watchdog.mjs';
      const dog = new Watchdog(300, 1024);
      await new Promise((resolve) => setTimeout(resolve, 300));
      dog.begin(Uint8Array.of(1, 2, 3), 'the replay line');
      for (;;);`;
    fs.writeFileSync(path.join(folder, 'main.mjs'), main);
    const result = spawnSync(process.execPath, [path.join(folder, 'main.mjs')], { encoding: 'utf8', timeout: 20_000 });
    fs.rmSync(folder, { recursive: true });
    expect(result.signal).toBe('SIGKILL');
    expect(result.stderr).toContain('HANG');
    expect(result.stderr).toContain('AQID');
    expect(result.stderr).toContain('the replay line');
  });
});

describe('inputs', () => {
  it('follow from target, seed and number alone', () => {
    const target = canary(() => true);
    const all = Array.from({ length: 200 }, (_, i) => inputAt(target, [SEED], 's', i));
    expect(all.every((input, i) => equal(input, inputAt(target, [SEED], 's', i)))).toBe(true);
    expect(new Set(all.map((input) => Buffer.from(input).toString('base64'))).size).toBeGreaterThan(150);
    expect(equal(inputAt(target, [SEED], 'other', 7), all[7] ?? SEED)).toBe(false);
  });

  it('of CBOR stay readable where the tree was changed, and differ', () => {
    const inputs = Array.from({ length: 300 }, (_, i) => mutate({ form: 'cbor' }, [SEED], new SeededRandom(`tree ${i}`)));
    const readable = inputs.filter((input) => treeOfCbor(input) !== null);
    expect(readable.length).toBeGreaterThan(100);
    expect(readable.filter((input) => !equal(input, SEED)).length).toBeGreaterThan(80);
  });

  it('of CBOR begin from a tree that is written back as it was read', () => {
    for (const cert of CERTIFICATES) {
      const tree = treeOfCbor(cert);
      expect(tree !== null && equal(writeCbor(tree), cert)).toBe(true);
    }
  });

  it('that find nothing give no finding', async () => {
    expect(await tryOne(canary(() => true), SEED)).toBeNull();
  });
});
