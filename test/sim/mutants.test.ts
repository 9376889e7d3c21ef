/**
 * Does the simulator find what it is there for? Each mutant is the shipping code without one rule
 * (test/invariants/mutants.ts); within its budget of seeds a run must break a property. The fast run tries a
 * few, the slow run all that the simulator can see.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { root } from '../cluster/programs.ts';
import { mutants } from '../invariants/mutants.ts';
import { IS_SLOW } from '../slow.ts';
import { seedBudgets, unseen } from './mutant-budgets.ts';

const PROGRAM = path.join(root, 'node_modules', '.cache', 'companions', 'tools', 'sim.js');
const FAST = ['one-manifest-a-stamp', 'floor', 'abort-licence-counts', 'guess-writes-again'];
const RUN_MS = 600_000;

describe('a mutant in the simulator', () => {
  it('each is known: its budget of seeds, or why the simulator cannot see it', () => {
    const known = [...Object.keys(seedBudgets), ...Object.keys(unseen)];
    expect(known.toSorted()).toEqual(mutants.map(({ id }) => id).toSorted());
  });

  it.each(Object.entries(seedBudgets).filter(([id]) => IS_SLOW || FAST.includes(id)))('%s is caught', async (id, { seeds, theme }) => {
    const about = theme === undefined ? [] : ['--theme', theme];
    const args = [PROGRAM, '--mutant', id, '--seeds', String(seeds), ...about, '--first-failure', '--no-shrink'];
    const ended = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: RUN_MS }).then(
      () => ({ code: 0, stdout: '' }),
      (error: { readonly code?: number; readonly stdout?: string }) => ({ code: error.code, stdout: error.stdout ?? '' }),
    );
    expect(ended.code).toBe(1);
    expect(ended.stdout).toContain('VIOLATION');
  }, RUN_MS);
});
