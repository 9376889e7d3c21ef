/**
 * Assertions that stay on in production. An assertion states what the program itself guarantees; it is
 * never reachable from bytes that a peer sent (those become verdicts, see errors.ts), because a Byzantine
 * peer could otherwise switch a process off from afar.
 */

export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Ends the operation with an AssertionError when a relation that must hold does not. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(`assertion failed: ${message}`);
}

/** Closes an exhaustive switch: a new case then fails to compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
