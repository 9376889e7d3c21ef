/**
 * What a policy says about one request: a denial that applies wins over everything, then an allowance, else
 * nothing. A condition key that the request does not have fails positive operators and holds negative ones,
 * as Amazon documents it.
 */
import { operatorNamed } from './operators.ts';
import type { Condition, Policy, PrincipalPattern, Selection, Statement } from './policy.ts';
import { MatchBudget, MatchTooCostly, matchesPattern } from './wildcard.ts';

/** One action on one resource, asked by one principal. */
export interface PolicyQuestion {
  /** Canonical id; undefined: anonymous. */
  readonly accountId: string | undefined;
  readonly action: string;
  /** `arn:aws:s3:::bucket` or `arn:aws:s3:::bucket/key`. */
  readonly resource: string;
  /** Values of a condition key in normal form (condition-keys.ts); undefined: the request has none. */
  readonly valuesOf: (key: string) => readonly string[] | undefined;
}

export type PolicyVerdict = 'denied' | 'allowed' | 'silent';

function selects<Pattern>(selection: Selection<Pattern>, matches: (pattern: Pattern) => boolean): boolean {
  return selection.patterns.some(matches) !== selection.isNot;
}

function isPrincipal(pattern: PrincipalPattern, accountId: string | undefined): boolean {
  return pattern.kind === 'anyone' || pattern.id === accountId;
}

/** Does the condition hold for these values of its key? */
function holds(condition: Condition, given: readonly string[] | undefined, budget: MatchBudget): boolean {
  const { quantifier, values } = condition;
  const isAbsent = given === undefined || given.length === 0;
  if (condition.operator === 'Null') return values.some((value) => (value.toLowerCase() === 'true') === isAbsent);
  const operator = operatorNamed(condition.operator);
  if (operator === undefined) return false;
  if (isAbsent) return condition.ifExists || quantifier === 'all' || (operator.isNegative && quantifier !== 'any');
  const matchesSome = (value: string): boolean => values.some((wanted) => operator.matches(wanted, value, budget));
  if (quantifier === 'all') return given.every((value) => matchesSome(value) !== operator.isNegative);
  if (quantifier === 'any') return given.some((value) => matchesSome(value) !== operator.isNegative);
  return given.some(matchesSome) !== operator.isNegative;
}

function applies(statement: Statement, question: PolicyQuestion, budget: MatchBudget): boolean {
  const { accountId, resource, valuesOf } = question;
  const action = question.action.toLowerCase();
  const { principals, actions, resources, conditions } = statement;
  return (
    (principals === undefined || selects(principals, (pattern) => isPrincipal(pattern, accountId))) &&
    selects(actions, (pattern) => matchesPattern(pattern.toLowerCase(), action, budget)) &&
    selects(resources, (pattern) => matchesPattern(pattern, resource, budget)) &&
    conditions.every((condition) => holds(condition, valuesOf(condition.key), budget))
  );
}

/** A policy that takes more work than a request is worth denies it. */
export function evaluatePolicy(policy: Policy, question: PolicyQuestion): PolicyVerdict {
  const budget = new MatchBudget();
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
