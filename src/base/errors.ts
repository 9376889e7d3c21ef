/**
 * Operating failures: what can go wrong although the program is right. Broken invariants are assertions
 * (assert.ts); faults of a peer are returned as verdicts, because callers count them toward quorums; an
 * unknown outcome is a result of its own (client/), never an error of this kind.
 */

/** Every stable error code, with the sentence an operator reads. docs/errors.md is held equal to this table. */
export const ERROR_CODES = {
  BAD_ARGUMENT: 'A command line argument, flag or environment value is not acceptable.',
  BAD_CONFIG: 'A configuration document is malformed, badly signed or violates a predicate.',
  BAD_GEOMETRY: 'The numbers n, f and k violate n >= 3f+1 or f+1 <= k <= n-2f.',
  BAD_FRAME: 'A peer sent bytes that are not a frame of this protocol.',
  BAD_MESSAGE: 'A peer sent a message that does not fit its schema.',
  TOO_LARGE: 'A size, count or depth is above its stated limit.',
  BUSY: 'A queue or quota is full; the work was refused before it began.',
  TIMEOUT: 'No answer within the deadline.',
  UNREACHABLE: 'The peer cannot be connected to.',
  DISCONNECTED: 'The connection ended before the answer.',
  PEER_FAILED: 'The peer received the request and could not carry it out.',
  FOREIGN_PEER: 'The peer showed a certificate that the configuration does not name.',
  NO_QUORUM: 'Fewer storage nodes answered than the operation needs.',
  DISK_FULL: 'The disk has no room; nothing was acknowledged.',
  DISK_READ_ONLY: 'The folder cannot be written.',
  DISK_ERROR: 'The disk failed an operation.',
  CORRUPT: 'Bytes on disk do not match their digest.',
  LOST_STATE: 'The durable state of this storage node is missing, damaged or older than what it promised.',
  IN_USE: 'Another process holds the folder or the port.',
  NOT_FOUND: 'What was asked for does not exist.',
  ALREADY_EXISTS: 'What was to be created exists.',
  STOPPED: 'The process is stopping.',
  CANCELLED: 'The caller gave up.',
  UNAUTHENTIC: 'A signature, seal or credential did not verify.',
  REFUSED: 'More storage nodes than may be faulty refused the request.',
  BUCKET_STALE: 'The bucket has changed or is not open; its newest record decides.',
  NOT_HELD: 'Storage nodes do not hold a content that a new version was to share.',
  LOCKED: 'Retention or a legal hold forbids the change.',
  OVERWRITTEN: 'The version was replaced while it was read, and its content is gone.',
  DAMAGED: 'An object cannot be read back as it was written.',
  UNSUPPORTED: 'The request asks for something this version does not do.',
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetail {
  /** May the same call succeed later without anybody's doing? */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** What the reader of the message can do about it. */
  readonly remedy?: string;
}

export class OperationError extends Error {
  override readonly name = 'OperationError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly remedy: string | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.retryable = detail.retryable ?? false;
    this.remedy = detail.remedy;
  }
}

export function isOperationError(error: unknown, code?: ErrorCode): error is OperationError {
  return error instanceof OperationError && (code === undefined || error.code === code);
}

/** One line for a person: code, what was wrong, what to do. */
export function describeError(error: unknown): string {
  if (error instanceof OperationError) {
    const remedy = error.remedy === undefined ? '' : ` ${error.remedy}`;
    return `${error.code}: ${error.message}${remedy}`;
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
