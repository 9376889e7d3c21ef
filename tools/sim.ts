/**
 * `npm run sim`: whole clusters in the simulator.
 *
 * Without arguments: a campaign of some seeds, with a report. `--seed S` runs one and tells what happened in
 * it; a run that fails is made smaller, and the line that replays it is printed. `--mutant NAME` removes one
 * rule from the code first (test/invariants/mutants.ts): then a run must fail.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import ts from 'typescript';
import { strategyNames } from '../src/sim/adversaries/strategies.ts';
import { Campaign } from '../src/sim/campaign.ts';
import { bucketKinds, GREEDY, makeScenario } from '../src/sim/scenario.ts';
import type { Scenario } from '../src/sim/scenario.ts';
import { reduced, replayArguments, shrink } from '../src/sim/shrink.ts';
import type { Kept } from '../src/sim/shrink.ts';
import { simulate } from '../src/sim/simulation.ts';
import type { RunResult } from '../src/sim/simulation.ts';
import { themeNames } from '../src/sim/themes.ts';
import { mutants } from '../test/invariants/mutants.ts';
import type { Mutant } from '../test/invariants/mutants.ts';

interface Options extends Kept {
  readonly seed?: number;
  readonly from: number;
  readonly seeds: number;
  readonly minutes?: number;
  readonly operations?: number;
  readonly adversary?: string;
  readonly theme?: string;
  readonly mutant?: readonly string[];
  readonly buckets?: (typeof bucketKinds)[number];
  readonly calm?: boolean;
  readonly timeline?: boolean;
  readonly shrink: boolean;
  readonly firstFailure?: boolean;
}

/** Lines of the timeline that are told of a failing run. */
const TOLD_LINES = 60;
const TREE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

const endOfTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const program = new Command('npm run sim --')
  .option('--seed <seed>', 'run this seed alone, and tell what happens in it', whole)
  .option('--from <seed>', 'the first seed of a campaign', whole, 1)
  .option('--seeds <count>', 'seeds of a campaign', whole, 50)
  .option('--minutes <minutes>', 'run a campaign for so long instead', Number)
  .option('--operations <count>', 'operations of a run, of all its clients together', whole)
  .addOption(new Option('--adversary <name>', 'strategy of the bad nodes').choices([...strategyNames, GREEDY]))
  .addOption(new Option('--theme <name>', 'what each run is about').choices(themeNames))
  .addOption(new Option('--mutant <name...>', 'remove a rule from the code first, or several').choices(mutants.map(({ id }) => id)))
  .addOption(new Option('--buckets <kind>', 'of what kind all buckets are; without it, some of each').choices(bucketKinds))
  .option('--calm', 'no faults but lies: then every operation must succeed')
  .option('--faults <numbers>', 'with --seed: only these faults of the run', numbers)
  .option('--clients <numbers>', 'with --seed: only these clients', numbers)
  .option('--steps <count>', 'with --seed: so many steps of each client', whole)
  .option('--thefts <count>', 'with --seed: so many moves of the stolen writer', whole)
  .option('--timeline', 'print everything that happens in a run')
  .option('--first-failure', 'end a campaign with the first run that fails')
  .option('--no-shrink', 'do not make a failing run smaller');

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function numbers(text: string): readonly number[] {
  return text === 'none' ? [] : text.split(',').map(whole);
}

async function main(): Promise<number> {
  const options = program.parse().opts<Options>();
  if (options.mutant !== undefined) return runMutants(options.mutant);
  return options.seed === undefined ? runCampaign(options) : runOne(options, options.seed);
}

function scenarioOf(options: Options, seed: number): Scenario {
  const { operations, adversary, theme, buckets, calm } = options;
  return makeScenario(seed, {
    ...(buckets === undefined ? {} : { buckets }),
    ...(operations === undefined ? {} : { operations }),
    ...(adversary === undefined ? {} : { adversary }),
    ...(theme === undefined ? {} : { theme }),
    ...(calm === undefined ? {} : { calm }),
  });
}

async function runOne(options: Options, seed: number): Promise<number> {
  const scenario = reduced(scenarioOf(options, seed), options);
  for (const [index, fault] of scenario.faults.entries()) console.log(`fault ${index}: ${JSON.stringify(fault)}`);
  const result = await simulate(scenario, endOfTurn);
  tellRun(result);
  if (options.timeline === true) for (const line of result.timeline) console.log(line);
  return result.violations.length > 0 ? 1 : 0;
}

async function runCampaign(options: Options): Promise<number> {
  const campaign = new Campaign();
  const began = performance.now();
  const endMs = options.minutes === undefined ? Infinity : began + options.minutes * 60_000;
  const last = options.minutes === undefined ? options.from + options.seeds : Infinity;
  for (let seed = options.from; seed < last && performance.now() < endMs; seed += 1) {
    const scenario = scenarioOf(options, seed);
    const result = await simulate(scenario, endOfTurn);
    campaign.add(result);
    if (result.violations.length === 0) continue;
    await tellFailure(options, scenario, result);
    if (options.firstFailure === true) break;
  }
  const seconds = (performance.now() - began) / 1000;
  console.log(JSON.stringify({ ...campaign.report(), seconds: Math.round(seconds), operationsPerSecond: Math.round(campaign.operations / seconds) }, null, 2));
  return campaign.failed.length > 0 ? 1 : 0;
}

async function tellFailure(options: Options, scenario: Scenario, result: RunResult): Promise<void> {
  tellRun(result);
  const { kept, runs } = options.shrink
    ? await shrink(scenario, async (smaller) => (await simulate(smaller, endOfTurn)).violations.length > 0)
    : { kept: {}, runs: 0 };
  const smallest = await simulate(reduced(scenario, kept), endOfTurn);
  console.log(`made smaller in ${runs} runs; its last events:`);
  const isTold = (line: string): boolean => !/ [<>] /.test(line);
  for (const line of smallest.timeline.filter(isTold).slice(-TOLD_LINES)) console.log(`  ${line}`);
  for (const violation of smallest.violations) console.log(`  VIOLATION ${violation}`);
  const { operations, adversary, theme, buckets, calm } = options;
  const more = Object.entries({ operations, adversary, theme, buckets }).map(([name, value]) => (value === undefined ? '' : ` --${name} '${value}'`));
  console.log(`replay: npm run sim -- ${replayArguments(scenario.seed, kept)}${more.join('')}${calm === true ? ' --calm' : ''}`);
}

function tellRun({ scenario, violations, counts, events, simulatedMs, digest, faults, caught }: RunResult): void {
  const { n, f, k, gateways } = scenario.shape;
  console.log(`seed ${scenario.seed}: n=${n} f=${f} k=${k}, ${gateways} gateways, bad nodes: ${scenario.bad.join() || 'none'}; ${events} events in ${Math.round(simulatedMs)} ms`);
  console.log(`  operations ${JSON.stringify(counts)}`);
  console.log(`  faults ${JSON.stringify(Object.fromEntries(faults))}; caught ${[...caught].join() || 'nothing'}`);
  console.log(`  digest ${digest}`);
  for (const violation of violations) console.log(`  VIOLATION ${violation}`);
}

/** Runs this program again, with the same arguments, on a copy of the compiled code without the rules. */
function runMutants(ids: readonly string[]): number {
  const copy = mkdtempSync(path.join(tmpdir(), 'holdfast-mutant-'));
  try {
    for (const name of ['src', 'test', 'tools']) cpSync(path.join(TREE, name), path.join(copy, name), { recursive: true });
    symlinkSync(path.resolve('node_modules'), path.join(copy, 'node_modules'));
    writeFileSync(path.join(copy, 'package.json'), '{"type":"module"}');
    for (const file of new Set(ids.map((id) => mutantOf(id).file))) {
      const compiled = path.join(copy, 'src', file.replace(/\.ts$/, '.js'));
      writeFileSync(compiled, withoutRules(file, ids.map(mutantOf).filter((mutant) => mutant.file === file)));
    }
    execFileSync(process.execPath, [path.join(copy, 'tools', 'sim.js'), ...withoutOption('--mutant', ids)], { stdio: 'inherit' });
    return 0;
  } catch (error) {
    return (error as { readonly status?: number }).status ?? 2;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function mutantOf(id: string): Mutant {
  const mutant = mutants.find((one) => one.id === id);
  if (mutant === undefined) throw new Error(`no mutant ${id}`);
  return mutant;
}

function withoutOption(name: string, values: readonly string[]): readonly string[] {
  return process.argv.slice(2).filter((argument) => argument !== name && !values.includes(argument));
}

function withoutRules(file: string, removed: readonly Mutant[]): string {
  let source = readFileSync(path.resolve('src', file), 'utf8');
  for (const { id, from, to } of removed) {
    if (source.split(from).length !== 2) throw new Error(`the mutant ${id} does not fit ${file}`);
    source = source.replace(from, () => to);
  }
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, rewriteRelativeImportExtensions: true };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}

process.exitCode = await main();
