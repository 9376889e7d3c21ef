/**
 * Is a policy public, by Amazon's definition: does it allow anything to everybody, not narrowed by a
 * condition to fixed sources? A range of addresses so wide that it means everywhere narrows nothing.
 */
import { parseCidr } from './ip.ts';
import type { Condition, Policy, Statement } from './policy.ts';
import { hasVariable } from './variables.ts';
import { hasWildcard } from './wildcard.ts';

/** Keys that name who or where a request comes from. */
const NARROWING: ReadonlySet<string> = new Set([
  'aws:principalaccount',
  'aws:principalarn',
  'aws:principalorgid',
  'aws:principalorgpaths',
  'aws:sourceaccount',
  'aws:sourcearn',
  'aws:sourceorgid',
  'aws:sourceowner',
  'aws:sourcevpc',
  'aws:sourcevpce',
  'aws:userid',
  's3:dataaccesspointaccount',
  's3:dataaccesspointarn',
]);

const POSITIVE = new Set(['StringEquals', 'StringEqualsIgnoreCase', 'StringLike', 'ArnEquals', 'ArnLike']);
const IPV4_BITS_MIN = 8;
const IPV6_BITS_MIN = 32;

function isNarrowRange(text: string): boolean {
  const range = parseCidr(text);
  return range !== undefined && range.bits >= (range.address.length === 4 ? IPV4_BITS_MIN : IPV6_BITS_MIN);
}

function narrows({ quantifier, operator, ifExists, key, values }: Condition): boolean {
  if (ifExists || quantifier === 'all') return false;
  if (key === 'aws:sourceip') return operator === 'IpAddress' && values.every(isNarrowRange);
  return NARROWING.has(key) && POSITIVE.has(operator) && !values.some((value) => hasWildcard(value) || hasVariable(value));
}

function isPublicStatement({ effect, principals, conditions }: Statement): boolean {
  if (effect === 'Deny' || principals === undefined) return false;
  const everybody = principals.isNot || principals.patterns.some(({ kind }) => kind === 'anyone');
  return everybody && !conditions.some(narrows);
}

export function isPublicPolicy(policy: Policy): boolean {
  return policy.statements.some(isPublicStatement);
}
