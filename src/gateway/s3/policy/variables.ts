/**
 * Policy variables: `${aws:username}` and its kin in the resources and text conditions of a policy, which
 * stand for what the request says. What a request puts in a variable's place is never a wildcard. `${*}`,
 * `${?}` and `${$}` stand for the characters themselves, `${key, 'text'}` names what stands in where the
 * request has no such key. A variable that nothing can be put in place of matches nothing.
 */
import { kindOfKey, normalKey } from './condition-keys.ts';
import { literalPattern } from './wildcard.ts';

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

/**
 * The text with what the request says in place of its variables; undefined: it does not say all of it.
 * `pattern`: the text is one, in which `*` and `?` of the request stand for themselves.
 */
export function resolveVariables(text: string, valuesOf: ValuesOf, form: 'pattern' | 'text'): string | undefined {
  if (!hasVariable(text)) return text;
  let isWhole = true;
  const resolved = text.replace(VARIABLE, (_, inner: string) => {
    const named = NAMED.exec(inner);
    const value = named === null ? inner : (valuesOf(normalKey(named[1] ?? ''))?.[0] ?? named[2]);
    if (value === undefined) isWhole = false;
    return form === 'pattern' ? literalPattern(value ?? '') : (value ?? '');
  });
  return isWhole ? resolved : undefined;
}
