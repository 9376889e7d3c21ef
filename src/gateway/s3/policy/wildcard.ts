/**
 * Patterns of policies: `*` stands for any characters, `?` for one. Matched without backtracking into more
 * than the last star, so that no pattern costs more than its length times that of the text.
 */

/** Case counts; fold both sides where it shall not. */
export function matchesPattern(pattern: string, text: string): boolean {
  const wanted = [...pattern];
  const given = [...text];
  let at = 0;
  let star = -1;
  let resume = 0;
  for (let i = 0; i < given.length; ) {
    if (wanted[at] === '*') {
      star = at;
      resume = i;
      at += 1;
    } else if (wanted[at] === '?' || (at < wanted.length && wanted[at] === given[i])) {
      at += 1;
      i += 1;
    } else if (star >= 0) {
      at = star + 1;
      resume += 1;
      i = resume;
    } else return false;
  }
  while (wanted[at] === '*') at += 1;
  return at === wanted.length;
}

export function hasWildcard(pattern: string): boolean {
  return /[*?]/.test(pattern);
}
