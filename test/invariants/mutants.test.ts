/**
 * Do the tests of the invariants fail when a rule is removed? In every run: each mutant still fits the code,
 * and the test that it names is there. In the slow run each is applied to a copy of the project, and that
 * test must fail there, after it has passed without it.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../cluster/programs.ts';
import { IS_SLOW } from '../slow.ts';
import { mutants } from './mutants.ts';
import type { Mutant } from './mutants.ts';

const COPIED = ['src', 'test', 'bench', 'tools', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const RUN_MS = 240_000;

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');

describe('mutants', () => {
  it.each(mutants)('$id fits the code, and its test is there', ({ file, from, to, test, name }) => {
    expect(textOf(`src/${file}`).split(from)).toHaveLength(2);
    expect(to).not.toBe(from);
    // Names of parameterised tests are put together when they run: the slow run finds those.
    expect(textOf(`test/${test}`)).toContain(name.split(/[:,]/, 1)[0]?.split(' ').slice(0, 3).join(' '));
  });

  it('there is one for each invariant and predicate of what is built', () => {
    const named = new Set(mutants.flatMap(({ invariant, rule }) => [invariant, rule.split(':', 1)[0] ?? '']));
    const wanted = [...Array.from({ length: 12 }, (_, i) => `I${i + 1}`), ...Array.from({ length: 10 }, (_, i) => `P${i + 1}`)];
    expect(wanted.filter((what) => !named.has(what))).toEqual([]);
  });

  it('each is told of in docs/invariants.md', () => {
    const told = textOf('docs/invariants.md');
    expect(mutants.map(({ id }) => id).filter((id) => !told.includes(`\`${id}\``))).toEqual([]);
  });
});

interface Report {
  readonly testResults: readonly { readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[] }[];
}

describe.runIf(IS_SLOW)('without its rule', () => {
  let copy: string;
  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), 'holdfast-mutants-'));
    for (const name of COPIED) cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  /** Runs the mutant's test file in the copy. Returns the tests of that name that passed and that failed. */
  async function results({ test, name }: Mutant): Promise<{ readonly passed: readonly string[]; readonly failed: readonly string[] }> {
    const report = join(copy, 'report.json');
    rmSync(report, { force: true });
    const pattern = name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const args = ['node_modules/vitest/vitest.mjs', 'run', join('test', test), '-t', pattern, '--reporter=json', `--outputFile=${report}`];
    // A failed test ends the program with 1; what it found stands in the report.
    await promisify(execFile)(process.execPath, args, { cwd: copy, timeout: RUN_MS }).catch(() => undefined);
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    const all = testResults.flatMap(({ assertionResults }) => assertionResults);
    const of = (status: string): string[] => all.filter((result) => result.status === status).map(({ fullName }) => fullName);
    return { passed: of('passed'), failed: of('failed') };
  }

  it.each(mutants)('$invariant, $rule: a test fails ($id)', async (mutant) => {
    const path = join(copy, 'src', mutant.file);
    const text = readFileSync(path, 'utf8');
    const whole = await results(mutant);
    expect(whole.passed.length).toBeGreaterThan(0);
    expect(whole.failed).toEqual([]);
    writeFileSync(path, text.replace(mutant.from, () => mutant.to));
    try {
      expect((await results(mutant)).failed.length).toBeGreaterThan(0);
    } finally {
      writeFileSync(path, text);
    }
  }, 2 * RUN_MS);
});
