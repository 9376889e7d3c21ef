/**
 * `npm test`: types, lint, then the tests: those beside the code and the floors, the models of the protocol,
 * whole clusters in the simulator, then those with real processes. Every stage runs even if an earlier one
 * failed, so that one run shows everything. `--full` adds the slow tests (SLOW=1). Ends with one line
 * `N passed, N failed`; the exit code is 0 only with 0 failed.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { installIfNeeded, requireNode, root } from './project.mjs';

requireNode();
installIfNeeded();

const full = process.argv.includes('--full');
const env = { ...process.env, ...(full ? { SLOW: '1' } : {}) };
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-test-'));
const stages = [];
let passed = 0;
let failed = 0;

function stage(name, run) {
  process.stdout.write(`\n== ${name}\n`);
  const started = performance.now();
  const outcome = run();
  passed += outcome.passed;
  failed += outcome.failed;
  stages.push({ name, seconds: (performance.now() - started) / 1000, ...outcome });
}

function node(script, args) {
  return spawnSync(process.execPath, [path.join(root, script), ...args], { cwd: root, env, stdio: 'inherit' }).status === 0;
}

/** A stage without a count of its own counts as one test. */
function check(ok) {
  return ok ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

function vitest(name, folders) {
  const report = path.join(scratch, `${name}.json`);
  const ok = node('node_modules/vitest/vitest.mjs', ['run', ...folders, '--passWithNoTests', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]);
  let result;
  try {
    result = JSON.parse(fs.readFileSync(report, 'utf8'));
  } catch {
    return check(false);
  }
  // A file that cannot be loaded has no failed test, and an error outside all tests fails the run only.
  const failures = Math.max(result.numFailedTests, result.numFailedTestSuites === 0 ? 0 : 1, ok ? 0 : 1);
  return { passed: result.numPassedTests, failed: failures, skipped: result.numPendingTests + result.numTodoTests };
}

stage('types', () => check(node('node_modules/typescript/bin/tsc', ['--noEmit'])));
stage('lint', () => check(node('node_modules/eslint/bin/eslint.js', ['src', 'test', 'bench', 'tools', 'spec', '--no-warn-ignored', '--no-error-on-unmatched-pattern'])));
stage('build', () => check(node('tools/build.mjs', ['companions'])));
stage('unit', () => vitest('unit', ['src/', 'tools/']));
stage('models', () => vitest('models', ['spec/']));
stage('simulator', () => vitest('simulator', ['test/sim/']));
// These wait for processes, disks and deadlines half of their time.
const workers = Math.ceil(os.availableParallelism() * 1.5);
stage('processes', () => vitest('processes', ['test/', '--exclude', 'test/sim/**', `--maxWorkers=${workers}`]));
fs.rmSync(scratch, { recursive: true, force: true });

process.stdout.write('\n');
for (const { name, seconds, passed: good, failed: bad, skipped } of stages) {
  const left = skipped > 0 ? `, ${skipped} not run` : '';
  process.stdout.write(`${name.padEnd(12)} ${seconds.toFixed(1).padStart(6)} s   ${good} passed, ${bad} failed${left}\n`);
}
if (!full) process.stdout.write('NOT RUN: slow tests (npm run test:full runs them)\n');
if (spawnSync('aws', ['--version'], { stdio: 'ignore' }).error) {
  process.stdout.write('NOT RUN: tests with the aws command line, because aws is not installed\n');
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
