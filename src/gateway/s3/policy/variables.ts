/**
 * Policy variables: `${aws:username}` and its kin in the resources and text conditions of a policy, which
 * stand for what the request says. What a request puts in a variable's place is never a wildcard. `${*}`,
 * `${?}` and `${$}` stand for the characters themselves, `${key, 'text'}` names what stands in where the
 * request has no such key. A variable that nothing can be put in place of matches nothing.
 */
import { kindOfKey, normalKey } from './condition-keys.ts';
import { compilePattern, patternOfParts } from './wildcard.ts';
import type { Pattern, PatternPart } from './wildcard.ts';

const VARIABLE = /\$\{([^{}]*)\}/g;
const NAMED = /^([A-Za-z0-9-]+:[A-Za-z0-9-]+)(?:\s*,\s*'([^'{}]*)')?$/;
const CHARACTERS: ReadonlySet<string> = new Set(['*', '?', '$']);

/** Values of a condition key in normal form. */
export type ValuesOf = (key: string) => readonly string[] | undefined;

export function hasVariable(text: string): boolean {
  return text.includes('${');
}

/** Is every variable one that a request can have one value of? */
export function areVariablesKnown(text: string): boolean {
  const rest = text.replace(VARIABLE, (whole, inner: string) => {
    const key = NAMED.exec(inner)?.[1];
    const isKnown = CHARACTERS.has(inner) || (key !== undefined && kindOfKey(normalKey(key)) === 'single');
    return isKnown ? '' : whole;
  });
  return !hasVariable(rest);
}

/** A text of a policy in which the values of a request may stand. */
export interface Template {
  readonly text: string;
  /** The text as a pattern, taken apart; undefined: it has variables, and is one when they are known. */
  readonly fixed: Pattern | undefined;
}

export function templateOf(text: string): Template {
  return { text, fixed: hasVariable(text) ? undefined : compilePattern(text) };
}

/** The parts of a text with what the request says in place of its variables; undefined: it does not say all of it. */
function resolvedParts(text: string, valuesOf: ValuesOf): readonly PatternPart[] | undefined {
  const parts: PatternPart[] = [];
  let from = 0;
  for (const found of text.matchAll(VARIABLE)) {
    const [whole, inner = ''] = found;
    const named = NAMED.exec(inner);
    const value = named === null ? inner : (valuesOf(normalKey(named[1] ?? ''))?.[0] ?? named[2]);
    if (value === undefined) return undefined;
    parts.push({ text: text.slice(from, found.index), isLiteral: false }, { text: value, isLiteral: true });
    from = found.index + whole.length;
  }
  return [...parts, { text: text.slice(from), isLiteral: false }];
}

/** The pattern, in which `*` and `?` of the request stand for themselves; undefined: the request does not say all of it. */
export function resolvePattern({ text, fixed }: Template, valuesOf: ValuesOf): Pattern | undefined {
  if (fixed !== undefined) return fixed;
  const parts = resolvedParts(text, valuesOf);
  return parts === undefined ? undefined : patternOfParts(parts);
}

/** The text itself; undefined: the request does not say all of it. */
export function resolveText({ text, fixed }: Template, valuesOf: ValuesOf): string | undefined {
  if (fixed !== undefined) return text;
  return resolvedParts(text, valuesOf)?.map((part) => part.text).join('');
}
