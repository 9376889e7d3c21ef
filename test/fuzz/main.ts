/**
 * `npm run fuzz`: goes on with mutated inputs for as long as asked, replays one, and saves what finds
 * something to test/fuzz/corpus/. docs/fuzzing.md says how.
 */
import fs from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { savedInputs, saveInput } from './corpus.ts';
import { describeFinding, fuzz, inputAt, poolOf, tryOne } from './engine.ts';
import type { Target } from './engine.ts';
import { targets } from './targets.ts';

const ROUND_INPUTS = 2_000;

const { values } = parseArgs({
  options: {
    target: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now()) },
    at: { type: 'string' },
    file: { type: 'string' },
    input: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

function chosen(): readonly Target[] {
  if (values.target === undefined) return targets;
  const found = targets.filter(({ name }) => name === values.target);
  if (found.length === 0) throw new Error(`there is no target ${values.target}; --list names them all`);
  return found;
}

/** The one input that the arguments name, or null. */
function oneInput(target: Target): Uint8Array | null {
  if (values.file !== undefined) return Uint8Array.from(fs.readFileSync(values.file));
  if (values.input !== undefined) return Uint8Array.from(Buffer.from(values.input, 'base64'));
  if (values.at === undefined) return null;
  return inputAt(target, poolOf(target, savedInputs(target.name)), values.seed, Number(values.at));
}

async function replay(target: Target, input: Uint8Array): Promise<number> {
  const finding = await tryOne(target, input);
  process.stdout.write(finding === null ? `${target.name}: nothing found with this input of ${input.length} bytes\n` : `${describeFinding(finding)}\n`);
  return finding === null ? 0 : 1;
}

/** Rounds over all chosen targets until the time is up, so that each gets its share. Returns the number of findings. */
async function search(): Promise<number> {
  const untilMs = performance.now() + Number(values.minutes) * 60_000;
  const sums = new Map<string, { inputs: number; accepted: number; findings: number }>();
  for (let round = 0; performance.now() < untilMs; round += 1) {
    for (const target of chosen()) {
      const sum = sums.get(target.name) ?? { inputs: 0, accepted: 0, findings: 0 };
      sums.set(target.name, sum);
      // What one finding makes known need not be found again and again.
      if (performance.now() >= untilMs || sum.findings > 0) continue;
      const count = Math.min(ROUND_INPUTS, 5 * target.inputs);
      const report = await fuzz(target, { seed: values.seed, saved: savedInputs(target.name), from: round * count, count, untilMs });
      sum.inputs += report.inputs;
      sum.accepted += report.accepted;
      sum.findings += report.findings.length;
      for (const finding of report.findings) {
        // Saved, it lends parts to later inputs, and a number would no longer mean the same one.
        const replay = finding.input.length === 0 ? finding.replay : `npm run fuzz -- --target ${target.name} --file ${saveInput(target.name, finding.input)}`;
        process.stdout.write(`${describeFinding({ ...finding, replay })}\n`);
      }
    }
    if ([...sums.values()].every(({ findings }) => findings > 0)) break;
  }
  for (const [name, { inputs, accepted, findings }] of sums) process.stdout.write(`${name.padEnd(20)} ${String(inputs).padStart(9)} inputs ${String(accepted).padStart(9)} accepted  ${findings} found\n`);
  return [...sums.values()].reduce((sum, { findings }) => sum + findings, 0);
}

async function main(): Promise<number> {
  if (values.list) {
    for (const { name } of targets) process.stdout.write(`${name}\n`);
    return 0;
  }
  const [first] = chosen();
  const input = values.target === undefined || first === undefined ? null : oneInput(first);
  if (first !== undefined && input !== null) return replay(first, input);
  process.stdout.write(`seed ${values.seed}\n`);
  return (await search()) === 0 ? 0 : 1;
}

// Targets wait for timers that do not keep a process alive.
const atWork = setInterval(() => undefined, 2 ** 30);
process.exitCode = await main();
clearInterval(atWork);
process.stdout.write('', () => process.exit());
