/**
 * Patterns of policies: `*` stands for any characters, `?` for one. What lies between two stars is looked for
 * from the left, which never needs to go back behind an earlier star; literal text is found by the language's
 * own search. Looking for `?` costs pattern times text at worst, so that work is counted, and who evaluates
 * a policy says how much of it there may be.
 */

/** Steps that one evaluation of a policy may take to look for patterns with `?`. */
const STEPS_MAX = 1_000_000;

/** A policy asked for more work than a request is worth. Whoever evaluates must refuse the request. */
export class MatchTooCostly extends Error {
  override readonly name = 'MatchTooCostly';
}

export class MatchBudget {
  #left = STEPS_MAX;

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new MatchTooCostly('too many steps');
  }
}

/** Units of the code point that begins at, or ends before, this place. */
const unitsFrom = (text: string, at: number): number => ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
const unitsBefore = (text: string, end: number): number => (end >= 2 && unitsFrom(text, end - 2) === 2 ? 2 : 1);

/**
 * Stand for `*` and `?` that are no wildcards: halves of a pair, which a text read from UTF-8 never has alone.
 */
const LITERAL_STAR = '\ud800';
const LITERAL_MARK = '\ud801';

/** A pattern that the text alone matches. */
export function literalPattern(text: string): string {
  return text.replaceAll('*', LITERAL_STAR).replaceAll('?', LITERAL_MARK);
}

/** The text of a piece without wildcards. */
function plain(piece: string): string {
  if (!piece.includes(LITERAL_STAR) && !piece.includes(LITERAL_MARK)) return piece;
  return piece.replaceAll(/[\ud800\ud801](?![\udc00-\udfff])/g, (half) => (half === LITERAL_STAR ? '*' : '?'));
}

/** Does this unit of a piece stand for a `*` or `?` that is this unit of the text? */
function isLiteral(own: string | undefined, unit: string | undefined): boolean {
  if (unit === '*') return own === LITERAL_STAR;
  return unit === '?' && own === LITERAL_MARK;
}

/** Where `piece` ends when it begins at `at`; undefined when it is not there. */
function endOf(piece: string, text: string, at: number, budget: MatchBudget): number | undefined {
  if (!piece.includes('?')) {
    const wanted = plain(piece);
    return text.startsWith(wanted, at) ? at + wanted.length : undefined;
  }
  let place = at;
  for (let i = 0; i < piece.length; i += 1) {
    budget.spend(1);
    if (place >= text.length) return undefined;
    if (piece[i] === '?') place += unitsFrom(text, place);
    else if (piece[i] === text[place] || isLiteral(piece[i], text[place])) place += 1;
    else return undefined;
  }
  return place;
}

/** Where `piece` begins when it ends the text; undefined when it does not. */
function beginOfEnding(piece: string, text: string, budget: MatchBudget): number | undefined {
  if (!piece.includes('?')) {
    const wanted = plain(piece);
    return text.endsWith(wanted) ? text.length - wanted.length : undefined;
  }
  let place = text.length;
  for (let i = piece.length - 1; i >= 0; i -= 1) {
    budget.spend(1);
    if (place <= 0) return undefined;
    if (piece[i] === '?') place -= unitsBefore(text, place);
    else if (piece[i] === text[place - 1] || isLiteral(piece[i], text[place - 1])) place -= 1;
    else return undefined;
  }
  return place;
}

/** Where the first `piece` at or behind `from` ends; undefined when there is none. */
function endOfNext(piece: string, text: string, from: number, budget: MatchBudget): number | undefined {
  if (!piece.includes('?')) {
    const wanted = plain(piece);
    const at = text.indexOf(wanted, from);
    return at < 0 ? undefined : at + wanted.length;
  }
  for (let at = from; at <= text.length; at += unitsFrom(text, at)) {
    const end = endOf(piece, text, at, budget);
    if (end !== undefined) return end;
  }
  return undefined;
}

/** Case counts; fold both sides where it shall not. Throws MatchTooCostly. */
export function matchesPattern(pattern: string, text: string, budget: MatchBudget = new MatchBudget()): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  let at = endOf(first, text, 0, budget);
  if (at === undefined) return false;
  if (last === undefined) return at === text.length;
  const limit = beginOfEnding(last, text, budget);
  if (limit === undefined) return false;
  for (const piece of rest) {
    at = endOfNext(piece, text, at, budget);
    if (at === undefined || at > limit) return false;
  }
  return at <= limit;
}

export function hasWildcard(pattern: string): boolean {
  return /[*?]/.test(pattern);
}
