/**
 * `npm run models:quint`: typechecks register.qnt and simulates it, the specified modules without a violation and
 * the broken ones until one breaks. Quint brings many packages, so it is no dependency: it is taken from the
 * variable QUINT or from the path, and without it this prints NOT RUN and ends well. The exit code tells the rest.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const specification = path.join(import.meta.dirname, 'register.qnt');
const quint = process.env.QUINT ?? 'quint';
const HOW = 'npm install in an empty folder: @informalsystems/quint 0.33.1, with the override antlr4ts 0.5.0-alpha.4; then QUINT=FOLDER/node_modules/.bin/quint';

/** A random run has so many steps; a broken module gets as many runs as it needs, up to this. */
const STEPS = 60;
const SPECIFIED_RUNS = Number(process.env.QUINT_RUNS ?? 1000);
const BROKEN_RUNS = 20_000;
const INVARIANTS = ['decodable', 'visible', 'linearizable'];

const runs = [
  { module: 'specified', isBroken: false },
  { module: 'specified_5', isBroken: false },
  { module: 'receipts_do_not_bind', isBroken: true },
  { module: 'too_many_fragments_to_decode', isBroken: true },
  { module: 'certificate_on_2f_nodes', isBroken: true },
  { module: 'no_write_back', isBroken: true },
];

function ask(args) {
  const { error, status, stdout, stderr } = spawnSync(quint, args, { encoding: 'utf8' });
  return { isThere: error === undefined, status, text: `${stdout ?? ''}${stderr ?? ''}` };
}

/** Null when it came out as it should. Anything but an end without or with a violation is a failure of the tool. */
function surprise({ module, isBroken }) {
  const samples = String(isBroken ? BROKEN_RUNS : SPECIFIED_RUNS);
  // The other backend is a program that would have to be downloaded.
  const { status, text } = ask(['run', '--backend=typescript', `--main=${module}`, '--invariants', ...INVARIANTS, `--max-steps=${STEPS}`, `--max-samples=${samples}`, '--seed=1', specification]);
  const isViolated = status !== 0 && text.includes('Invariant violated');
  const isClean = status === 0 && text.includes('No violation found');
  return (isBroken ? isViolated : isClean) ? null : text;
}

if (!ask(['--version']).isThere) {
  process.stdout.write(`NOT RUN: the Quint specification, because quint is not installed (${HOW})\n`);
} else {
  const { status, text } = ask(['typecheck', specification]);
  process.stdout.write(status === 0 ? 'typecheck: passed\n' : text);
  let failed = status === 0 ? 0 : 1;
  for (const run of status === 0 ? runs : []) {
    const found = surprise(run);
    process.stdout.write(`${run.module}: ${found === null ? (run.isBroken ? 'breaks, as it must' : 'no violation') : 'NOT AS EXPECTED'}\n${found ?? ''}`);
    if (found !== null) failed += 1;
  }
  process.exitCode = failed === 0 ? 0 : 1;
}
