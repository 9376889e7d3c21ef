/**
 * `npm run s3-tests`: the public S3 conformance suite of Ceph against a cluster of real processes of which one
 * lies throughout, or against the S3 front alone.
 *
 * Prints what passed and failed by group of features, and each failure with its reason; compares with the cases
 * that are known not to pass (test/s3/conformance/known-failures.txt) and ends with 1 where they differ. Where
 * Python, one of its packages or the suite is absent it says NOT RUN with what is missing, and ends with 3.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { startMemoryFront } from '../test/s3/conformance/memory-front.ts';
import { startProcessFronts } from '../test/s3/conformance/process-front.ts';
import { compare, countByGroup, countFunctions, docsSection, failureLine, parseKnownFailures, sectionOf, table } from '../test/s3/conformance/report.ts';
import type { KnownFailure } from '../test/s3/conformance/report.ts';
import { LEFT_OUT_MARKS, SUITE_COMMIT, groupOf } from '../test/s3/conformance/selection.ts';
import { PACKAGES, collect, missing, runCases, suiteCommit } from '../test/s3/conformance/suite.ts';
import type { CaseResult, SuiteEndpoint } from '../test/s3/conformance/suite.ts';

const NOT_RUN = 3;
const PROGRESS_CASES = 50;
const ROOT = process.cwd();
const DOCS = path.join(ROOT, 'docs', 's3.md');
const KNOWN_FAILURES = path.join(ROOT, 'test', 's3', 'conformance', 'known-failures.txt');

interface Options {
  readonly suite?: string;
  readonly python: string;
  readonly only?: RegExp;
  readonly over: 'processes' | 'memory';
  readonly atOnce: number;
  readonly json?: string;
  readonly writeDocs?: boolean;
}

function whole(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new InvalidArgumentError('a number from 1 is needed.');
  return Number(text);
}

const program = new Command('npm run s3-tests --')
  .option('--suite <folder>', 'a clone of ceph/s3-tests', process.env['HOLDFAST_S3_TESTS'])
  .option('--python <program>', 'the Python that runs it', process.env['PYTHON'] ?? 'python3')
  .option('--only <pattern>', 'only cases or groups whose name matches', (text) => new RegExp(text))
  .addOption(
    new Option('--over <what>', 'a cluster of real processes of which one lies, or the front alone over a store in memory')
      .choices(['processes', 'memory'])
      .default('processes'),
  )
  .option('--at-once <count>', 'cases at once', whole, 2)
  .option('--write-docs', 'after a whole run, write its counts and the reasons into docs/s3.md')
  .option('--json <file>', 'write all results there')
  .addHelpText('after', `\nNeeds a clone of ceph/s3-tests (--suite or HOLDFAST_S3_TESTS), and Python 3 with ${PACKAGES.join(', ')}.\nEnds with 0 where all is as known, 1 where it is not, ${NOT_RUN} where something is missing and nothing was run.`)
  .parse();

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Deals cases to processes in turn, so that each gets a share of the slow ones, which stand together. */
function deal<T>(items: readonly T[], count: number): T[][] {
  return Array.from({ length: count }, (_, hand) => items.filter((_item, index) => index % count === hand));
}

/** One for each process of the suite: accounts of one cluster of real processes, or a front of its own over memory. */
async function startEndpoints({ over, atOnce }: Options): Promise<SuiteEndpoint[]> {
  if (over === 'processes') return startProcessFronts(atOnce);
  return Promise.all(Array.from({ length: atOnce }, () => startMemoryFront()));
}

async function run(options: Options, suite: string, scratch: string): Promise<{ results: CaseResult[]; isWhole: boolean }> {
  const endpoints = await startEndpoints(options);
  try {
    return await runAgainst(endpoints, options, suite, scratch);
  } finally {
    await Promise.all(endpoints.map((endpoint) => endpoint.close()));
  }
}

async function runAgainst(endpoints: readonly SuiteEndpoint[], options: Options, suite: string, scratch: string): Promise<{ results: CaseResult[]; isWhole: boolean }> {
  const { python, only } = options;
  const endpointOf = (index: number): SuiteEndpoint => endpoints[index % endpoints.length] ?? unreachableEndpoint();
  const collected = collect(ROOT, { python, suite, folder: scratch, users: endpointOf(0).users });
  const wanted = (id: string): boolean => {
    const name = id.replace(/^.*?::/, '');
    return only === undefined || only.test(name) || only.test(groupOf(name));
  };
  const cases = collected.filter(wanted);
  say(`${cases.length} cases, ${options.atOnce} at once`);
  let done = 0;
  const hands = deal(cases, options.atOnce).filter((hand) => hand.length > 0);
  const results = await Promise.all(
    hands.map(async (hand, index) => {
      const folder = path.join(scratch, String(index));
      fs.mkdirSync(folder);
      const { port, users } = endpointOf(index);
      return runCases(ROOT, { python, suite, folder, port, users, cases: hand }, () => {
        done += 1;
        if (done % PROGRESS_CASES === 0) say(`${done} done`);
      });
    }),
  );
  const flat = results.flat();
  if (flat.length !== cases.length) throw new Error(`${cases.length} cases were to be run, ${flat.length} were`);
  return { results: flat, isWhole: cases.length === collected.length };
}

function unreachableEndpoint(): never {
  throw new Error('the suite was given nothing to run against');
}

/** Holds the document against a whole run. */
function tellOfDocs(results: readonly CaseResult[], known: readonly KnownFailure[], write: boolean): boolean {
  const document = fs.readFileSync(DOCS, 'utf8');
  const before = sectionOf(document);
  const after = docsSection(results, known, SUITE_COMMIT);
  if (before === after) return true;
  if (before === undefined || !write) {
    say('docs/s3.md says something else; --write-docs writes what was found');
    return false;
  }
  fs.writeFileSync(DOCS, document.replace(before, () => after));
  say('docs/s3.md now says what was found');
  return true;
}

function tell(results: readonly CaseResult[], known: readonly KnownFailure[], isWhole: boolean): boolean {
  const { unexpectedFailures, unexpectedPasses, unknown } = compare(results, known, isWhole);
  const { passed, all } = countFunctions(results);
  say(`\n${table(countByGroup(results))}\n`);
  say(`${passed} of ${all} cases pass, counting one that is run with several parameters once (${((100 * passed) / all).toFixed(1)} %).`);
  for (const result of results.filter(({ outcome }) => outcome === 'skipped')) say(`skipped by the suite: ${failureLine(result)}`);
  for (const result of unexpectedFailures) say(`UNEXPECTED FAILURE ${failureLine(result)}`);
  for (const name of unexpectedPasses) say(`UNEXPECTED PASS ${name}`);
  for (const name of unknown) say(`NO SUCH CASE ${name}`);
  return unexpectedFailures.length + unexpectedPasses.length + unknown.length === 0;
}

async function main(options: Options): Promise<number> {
  const lacking = missing(options.python, options.suite);
  if (lacking.length > 0 || options.suite === undefined) {
    say(`NOT RUN: the S3 conformance suite needs ${lacking.join(', ')}`);
    return NOT_RUN;
  }
  const commit = suiteCommit(options.suite);
  say(`ceph/s3-tests at ${commit ?? 'an unknown commit'}${commit === SUITE_COMMIT ? '' : ` (the list of known failures is about ${SUITE_COMMIT})`}`);
  say(options.over === 'processes' ? 'against six storage nodes, one of which lies, and a gateway' : 'against the S3 front over a store in memory');
  say(`left out: ${[...new Set(Object.values(LEFT_OUT_MARKS)), 'KMS'].join(', ')}`);
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-s3-tests-'));
  try {
    const { results, isWhole } = await run(options, options.suite, scratch);
    if (options.json !== undefined) fs.writeFileSync(options.json, JSON.stringify(results, null, 1));
    const known = parseKnownFailures(fs.readFileSync(KNOWN_FAILURES, 'utf8'));
    const isAsKnown = tell(results, known, isWhole);
    const isAsTold = !isWhole || options.over === 'memory' || commit !== SUITE_COMMIT || tellOfDocs(results, known, options.writeDocs === true);
    return isAsKnown && isAsTold ? 0 : 1;
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

process.exitCode = await main(program.opts<Options>());
