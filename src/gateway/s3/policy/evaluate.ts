/**
 * What a policy says about one request: a denial that applies wins over everything, then an allowance, else
 * nothing. A condition key that the request does not have fails positive operators and holds negative ones,
 * as Amazon documents it.
 */
import { operatorNamed } from './operators.ts';
import type { Operator } from './operators.ts';
import type { Condition, Policy, PrincipalPattern, Selection, Statement } from './policy.ts';
import { resolvePattern, resolveText } from './variables.ts';
import type { Template, ValuesOf } from './variables.ts';
import { MatchBudget, MatchTooCostly, matchesPattern } from './wildcard.ts';
import type { Pattern } from './wildcard.ts';

/** One action on one resource, asked by one principal. */
export interface PolicyQuestion {
  /** Canonical id; undefined: anonymous. */
  readonly accountId: string | undefined;
  readonly action: string;
  /** `arn:aws:s3:::bucket` or `arn:aws:s3:::bucket/key`. */
  readonly resource: string;
  /** Values of a condition key in normal form (condition-keys.ts); undefined: the request has none. */
  readonly valuesOf: ValuesOf;
}

export type PolicyVerdict = 'denied' | 'allowed' | 'silent';

function selects<Pattern>(selection: Selection<Pattern>, matches: (pattern: Pattern) => boolean): boolean {
  return selection.patterns.some(matches) !== selection.isNot;
}

function isPrincipal(pattern: PrincipalPattern, accountId: string | undefined): boolean {
  return pattern.kind === 'anyone' || pattern.id === accountId;
}

/**
 * Does the condition hold for this request? A value with a variable that the request has nothing for matches
 * nothing; so that this never opens a door, a negative operator with one does not hold in an allowance.
 */
function holds(condition: Condition, effect: Statement['effect'], valuesOf: ValuesOf, budget: MatchBudget): boolean {
  const { quantifier } = condition;
  const given = valuesOf(condition.key);
  const isAbsent = given === undefined || given.length === 0;
  if (condition.operator === 'Null')
    return condition.values.some((value) => (value.toLowerCase() === 'true') === isAbsent);
  const operator = operatorNamed(condition.operator);
  if (operator === undefined) return false;
  const { isNegative } = operator;
  const tests = testsOf(condition, operator, valuesOf, budget);
  if (tests.length < condition.values.length && isNegative && effect === 'Allow') return false;
  if (isAbsent) return condition.ifExists || quantifier === 'all' || (isNegative && quantifier !== 'any');
  const matchesSome = (value: string): boolean => tests.some((isMet) => isMet(value));
  if (quantifier === 'all') return given.every((value) => matchesSome(value) !== isNegative);
  if (quantifier === 'any') return given.some((value) => matchesSome(value) !== isNegative);
  return given.some(matchesSome) !== isNegative;
}

/** Whether a value of the request meets one of the policy. */
type Test = (given: string) => boolean;

/** One for each value of the condition, without those that have a variable which the request has nothing for. */
function testsOf({ values, templates }: Condition, operator: Operator, valuesOf: ValuesOf, budget: MatchBudget): readonly Test[] {
  if (operator.form === 'pattern')
    return resolvedPatterns(templates, valuesOf).map((pattern) => (given) => matchesPattern(pattern, given, budget));
  const { form, matches } = operator;
  const wanted = form === undefined ? values : templates.map((template) => resolveText(template, valuesOf)).filter((text) => text !== undefined);
  return wanted.map((text) => (given) => matches(text, given));
}

function resolvedPatterns(templates: readonly Template[], valuesOf: ValuesOf): readonly Pattern[] {
  return templates.map((template) => resolvePattern(template, valuesOf)).filter((pattern) => pattern !== undefined);
}

/** Is the resource one that the statement speaks of? What cannot be left out as it asks is not allowed. */
function isResource({ effect, resources }: Statement, { resource, valuesOf }: PolicyQuestion, budget: MatchBudget): boolean {
  const patterns = resolvedPatterns(resources.patterns, valuesOf);
  if (resources.isNot && effect === 'Allow' && patterns.length < resources.patterns.length) return false;
  return selects({ ...resources, patterns }, (pattern) => matchesPattern(pattern, resource, budget));
}

function applies(statement: Statement, question: PolicyQuestion, budget: MatchBudget): boolean {
  const { accountId, valuesOf } = question;
  const action = question.action.toLowerCase();
  const { effect, principals, actions, conditions } = statement;
  return (
    (principals === undefined || selects(principals, (pattern) => isPrincipal(pattern, accountId))) &&
    selects(actions, (pattern) => matchesPattern(pattern, action, budget)) &&
    isResource(statement, question, budget) &&
    conditions.every((condition) => holds(condition, effect, valuesOf, budget))
  );
}

/** A policy that takes more work than a request is worth denies it. */
export function evaluatePolicy(policy: Policy, question: PolicyQuestion, budget: MatchBudget = new MatchBudget()): PolicyVerdict {
  let verdict: PolicyVerdict = 'silent';
  try {
    for (const statement of policy.statements) {
      if (!applies(statement, question, budget)) continue;
      if (statement.effect === 'Deny') return 'denied';
      verdict = 'allowed';
    }
  } catch (error) {
    if (error instanceof MatchTooCostly) return 'denied';
    throw error;
  }
  return verdict;
}

/** Does the policy ask about a key that begins so? Then the answer needs the object itself. */
export function asksAbout(policy: Policy, keyPrefix: string): boolean {
  return policy.statements.some(({ conditions }) => conditions.some(({ key }) => key.startsWith(keyPrefix)));
}
