/**
 * `npm run sim`: whole clusters in the simulator. `--seed S` runs one seed and prints its timeline when it
 * fails; `--seeds N` or `--minutes M` runs a campaign from `--from` on.
 */
import { Command } from 'commander';
import { makeScenario } from '../src/sim/scenario.ts';
import type { ScenarioOptions } from '../src/sim/scenario.ts';
import { simulate } from '../src/sim/simulation.ts';
import type { RunResult } from '../src/sim/simulation.ts';

const endOfTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

interface Options {
  readonly seed?: string;
  readonly seeds?: string;
  readonly from: string;
  readonly operations?: string;
  readonly adversary?: string;
  readonly timeline?: boolean;
}

const program = new Command('npm run sim --')
  .option('--seed <seed>', 'run this seed alone')
  .option('--seeds <count>', 'run so many seeds')
  .option('--from <seed>', 'the first of them', '1')
  .option('--operations <count>', 'of all clients of a run together')
  .option('--adversary <name>', 'the strategy of the bad nodes')
  .option('--timeline', 'print everything that happened');

async function main(): Promise<void> {
  const options = program.parse().opts<Options>();
  const scenarioOptions: ScenarioOptions = {
    ...(options.operations === undefined ? {} : { operations: Number(options.operations) }),
    ...(options.adversary === undefined ? {} : { adversary: options.adversary }),
  };
  const from = Number(options.seed ?? options.from);
  const count = options.seed === undefined ? Number(options.seeds ?? 10) : 1;
  let failed = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const started = performance.now();
    const result = await simulate(makeScenario(seed, scenarioOptions), endOfTurn);
    report(result, performance.now() - started, options.timeline === true);
    if (result.violations.length > 0) failed += 1;
  }
  if (failed > 0) process.exitCode = 1;
}

function report(result: RunResult, ms: number, withTimeline: boolean): void {
  const { scenario, violations, counts, events, simulatedMs, digest } = result;
  const { n, f, k, gateways } = scenario.shape;
  console.log(`seed ${scenario.seed}: n=${n} f=${f} k=${k} gateways=${gateways} bad=${scenario.bad.join()} ${events} events, ${Math.round(simulatedMs)} ms simulated in ${Math.round(ms)} ms, ${digest.slice(0, 12)}`);
  console.log(`  ${JSON.stringify(counts)} ${JSON.stringify(Object.fromEntries(result.faults))} caught ${[...result.caught].join()}`);
  for (const violation of violations) console.log(`  VIOLATION ${violation}`);
  if (withTimeline) for (const line of result.timeline) console.log(line);
}

await main();
