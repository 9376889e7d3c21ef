/**
 * What a run of the conformance suite came to: counts by group of features, and the comparison with the cases
 * that are known not to pass (known-failures.txt). A failure that is not on the list fails the command, and so
 * does a listed case that passes, so that the list, and docs/s3.md after it, stay true.
 */
import { groupOf } from './selection.ts';
import type { CaseResult } from './suite.ts';

export interface KnownFailure {
  readonly case: string;
  readonly reason: string;
}

/** Lines of `# a reason`, each followed by the cases that do not pass for it. */
export function parseKnownFailures(text: string): KnownFailure[] {
  const known: KnownFailure[] = [];
  let reason = '';
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '') continue;
    if (line.startsWith('#')) {
      reason = line.slice(1).trim();
      continue;
    }
    if (reason === '') throw new Error(`no reason stands above ${line}`);
    if (known.some((one) => one.case === line)) throw new Error(`${line} is listed twice`);
    known.push({ case: line, reason });
  }
  return known;
}

export interface GroupCount {
  readonly group: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function countByGroup(results: readonly CaseResult[]): GroupCount[] {
  const groups = [...new Set(results.map((result) => groupOf(result.case)))].sort();
  const count = (group: string, outcome: CaseResult['outcome']): number =>
    results.filter((result) => groupOf(result.case) === group && result.outcome === outcome).length;
  return groups.map((group) => ({
    group,
    passed: count(group, 'passed'),
    failed: count(group, 'failed'),
    skipped: count(group, 'skipped'),
  }));
}

/** A case that is written once and run with several parameters passes when it does so with each. */
export function countFunctions(results: readonly CaseResult[]): { readonly passed: number; readonly all: number } {
  const functions = new Map<string, boolean>();
  for (const result of results) {
    if (result.outcome === 'skipped') continue;
    const name = nameOf(result);
    functions.set(name, (functions.get(name) ?? true) && result.outcome === 'passed');
  }
  return { passed: [...functions.values()].filter(Boolean).length, all: functions.size };
}

const nameOf = (result: CaseResult): string => result.case.replace(/\[.*/, '');

export interface Comparison {
  readonly unexpectedFailures: readonly CaseResult[];
  readonly unexpectedPasses: readonly string[];
  /** Listed, but no such case was run. */
  readonly unknown: readonly string[];
}

/** `isWhole`: all cases were run, so one that is listed and did not run is no case. */
export function compare(results: readonly CaseResult[], known: readonly KnownFailure[], isWhole: boolean): Comparison {
  const listed = new Set(known.map((one) => one.case));
  const isListed = (result: CaseResult): boolean => listed.has(result.case) || listed.has(nameOf(result));
  const failed = results.filter((result) => result.outcome === 'failed');
  const failedNames = new Set(failed.flatMap((result) => [result.case, nameOf(result)]));
  const ran = new Set(results.filter((result) => result.outcome !== 'skipped').flatMap((result) => [result.case, nameOf(result)]));
  return {
    unexpectedFailures: failed.filter((result) => !isListed(result)),
    unexpectedPasses: [...listed].filter((name) => ran.has(name) && !failedNames.has(name)),
    unknown: isWhole ? [...listed].filter((name) => !ran.has(name)) : [],
  };
}

export function table(counts: readonly GroupCount[]): string {
  const width = Math.max(...counts.map(({ group }) => group.length), 5);
  const row = (group: string, passed: number | string, failed: number | string): string =>
    `${group.padEnd(width)}  ${String(passed).padStart(6)}  ${String(failed).padStart(6)}`;
  const sum = (of: 'passed' | 'failed'): number => counts.reduce((total, one) => total + one[of], 0);
  return [row('group', 'passed', 'failed'), ...counts.map((one) => row(one.group, one.passed, one.failed)), row('all', sum('passed'), sum('failed'))].join('\n');
}

const BEGIN = '<!-- conformance: written by npm run s3-tests -- --write-docs -->';
const END = '<!-- conformance: end -->';

/** What docs/s3.md says of a whole run: the counts, and why each case that does not pass does not. */
export function docsSection(results: readonly CaseResult[], known: readonly KnownFailure[], commit: string): string {
  const { passed, all } = countFunctions(results);
  const counts = countByGroup(results).map((one) => `| ${one.group} | ${one.passed} | ${one.passed + one.failed} |`);
  const summary = `At commit ${commit} of the suite **${passed} of ${all}** selected cases pass (${((100 * passed) / all).toFixed(1)} %). In the table a case that is run with several parameters counts as often.`;
  return [BEGIN, summary, '', '| group | pass | of |', '|---|---|---|', ...counts, '', ...whyNot(known), END].join('\n');
}

function whyNot(known: readonly KnownFailure[]): string[] {
  if (known.length === 0) return [];
  const reasons = [...new Set(known.map((one) => one.reason))];
  const lines = reasons.map((reason) => {
    const cases = known.filter((one) => one.reason === reason).map((one) => `\`${one.case}\``);
    return `- ${reason}: ${cases.join(', ')}.`;
  });
  return ['Those that do not pass, and why:', '', ...lines];
}

/** The section as it stands in the document; undefined when there is none. */
export function sectionOf(document: string): string | undefined {
  const [from, to] = [document.indexOf(BEGIN), document.indexOf(END)];
  return from < 0 || to < from ? undefined : document.slice(from, to + END.length);
}

export function failureLine(result: CaseResult): string {
  const when = result.when === undefined || result.when === 'call' ? '' : ` (${result.when})`;
  return `${result.case}  ${result.file}:${result.line}${when}  ${result.reason}`;
}
