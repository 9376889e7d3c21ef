/**
 * Patterns of policies: `*` stands for any characters, `?` for one. What lies between two stars is looked for
 * from the left, which never needs to go back behind an earlier star; literal text is found by the language's
 * own search. A policy's patterns are taken apart when it is parsed. Looking for `?` costs pattern times text at worst, so that work is counted, and who evaluates
 * a policy says how much of it there may be.
 */

/** Steps that one evaluation of a policy may take to look for patterns with `?`. */
export const STEPS_MAX = 1_000_000;

/** A policy asked for more work than a request is worth. Whoever evaluates must refuse the request. */
export class MatchTooCostly extends Error {
  override readonly name = 'MatchTooCostly';
}

export class MatchBudget {
  #left = STEPS_MAX;

  get spent(): number {
    return STEPS_MAX - this.#left;
  }

  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new MatchTooCostly('too many steps');
  }
}

/** Units of the code point that begins at, or ends before, this place. */
const unitsFrom = (text: string, at: number): number => ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
const unitsBefore = (text: string, end: number): number => (end >= 2 && unitsFrom(text, end - 2) === 2 ? 2 : 1);

/** Stands in a piece for any one character. */
const ANY = undefined;

/** What lies between two stars: plain text, or units some of which are ANY. */
type Piece = string | readonly (string | typeof ANY)[];

/** A pattern, taken apart once. */
export interface Pattern {
  /** At its stars; one piece: it has none. */
  readonly pieces: readonly Piece[];
}

/** A part of what a pattern is made of: `isLiteral`, and its `*` and `?` are the characters themselves. */
export interface PatternPart {
  readonly text: string;
  readonly isLiteral: boolean;
}

const pieceOf = (units: readonly (string | typeof ANY)[]): Piece => (units.includes(ANY) ? units : units.join(''));

/** Takes a pattern of parts apart. */
export function patternOfParts(parts: readonly PatternPart[]): Pattern {
  const pieces: Piece[] = [];
  let units: (string | typeof ANY)[] = [];
  for (const { text, isLiteral } of parts) {
    for (const unit of text.split('')) {
      if (!isLiteral && unit === '*') {
        pieces.push(pieceOf(units));
        units = [];
      } else units.push(!isLiteral && unit === '?' ? ANY : unit);
    }
  }
  return { pieces: [...pieces, pieceOf(units)] };
}

export function compilePattern(text: string): Pattern {
  return patternOfParts([{ text, isLiteral: false }]);
}

/** Where `piece` ends when it begins at `at`; undefined when it is not there. */
function endOf(piece: Piece, text: string, at: number, budget: MatchBudget): number | undefined {
  if (typeof piece === 'string') return text.startsWith(piece, at) ? at + piece.length : undefined;
  let place = at;
  for (const unit of piece) {
    budget.spend(1);
    if (place >= text.length) return undefined;
    if (unit === ANY) place += unitsFrom(text, place);
    else if (unit === text[place]) place += 1;
    else return undefined;
  }
  return place;
}

/** Where `piece` begins when it ends the text; undefined when it does not. */
function beginOfEnding(piece: Piece, text: string, budget: MatchBudget): number | undefined {
  if (typeof piece === 'string') return text.endsWith(piece) ? text.length - piece.length : undefined;
  let place = text.length;
  for (let i = piece.length - 1; i >= 0; i -= 1) {
    budget.spend(1);
    if (place <= 0) return undefined;
    if (piece[i] === ANY) place -= unitsBefore(text, place);
    else if (piece[i] === text[place - 1]) place -= 1;
    else return undefined;
  }
  return place;
}

/** Where the first `piece` at or behind `from` ends; undefined when there is none. */
function endOfNext(piece: Piece, text: string, from: number, budget: MatchBudget): number | undefined {
  if (typeof piece === 'string') {
    const at = text.indexOf(piece, from);
    return at < 0 ? undefined : at + piece.length;
  }
  for (let at = from; at <= text.length; at += unitsFrom(text, at)) {
    const end = endOf(piece, text, at, budget);
    if (end !== undefined) return end;
  }
  return undefined;
}

/** Case counts; fold both sides where it shall not. Throws MatchTooCostly. */
export function matchesPattern({ pieces }: Pattern, text: string, budget: MatchBudget = new MatchBudget()): boolean {
  const [first = ''] = pieces;
  let at = endOf(first, text, 0, budget);
  if (at === undefined) return false;
  const last = pieces.length === 1 ? undefined : pieces.at(-1);
  if (last === undefined) return at === text.length;
  const limit = beginOfEnding(last, text, budget);
  if (limit === undefined) return false;
  for (let i = 1; i < pieces.length - 1; i += 1) {
    at = endOfNext(pieces[i] ?? '', text, at, budget);
    if (at === undefined || at > limit) return false;
  }
  return at <= limit;
}

export function hasWildcard(pattern: string): boolean {
  return /[*?]/.test(pattern);
}
