/**
 * What a command's exit code says (docs/cli.md): scripts decide by it, so the numbers never change. The
 * supervisor also decides by it whether a node is worth starting again.
 */
import { isOperationError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  damage: 3,
  notFound: 4,
  unavailable: 5,
  /** The durable state of a storage node is gone: starting it again cannot help. */
  lostState: 6,
} as const;

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  BAD_ARGUMENT: EXIT.usage,
  BAD_GEOMETRY: EXIT.usage,
  CORRUPT: EXIT.damage,
  DAMAGED: EXIT.damage,
  NOT_FOUND: EXIT.notFound,
  NO_QUORUM: EXIT.unavailable,
  UNREACHABLE: EXIT.unavailable,
  DISCONNECTED: EXIT.unavailable,
  TIMEOUT: EXIT.unavailable,
  BUSY: EXIT.unavailable,
  LOST_STATE: EXIT.lostState,
};

export function exitCodeOf(error: unknown): number {
  return isOperationError(error) ? (BY_CODE[error.code] ?? EXIT.failure) : EXIT.failure;
}
