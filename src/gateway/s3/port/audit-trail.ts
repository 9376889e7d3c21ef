/** Where the front says what it was asked and what it answered. */

export interface AnsweredRequest {
  readonly requestId: string;
  /** S3 operation, or `none` where the request named none. */
  readonly operation: string;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  /** Undefined: anonymous, or refused before the key was known. */
  readonly accessKeyId: string | undefined;
  readonly status: number;
  /** The S3 error; undefined for a success. */
  readonly code: string | undefined;
  /** Bytes of the answer's body. */
  readonly bytes: number;
  readonly versionId: string | undefined;
  readonly remoteAddress: string | undefined;
  /** Did it, or may it have, changed anything? */
  readonly isChange: boolean;
}

export interface AuditTrail {
  /** Of a change: resolves when the entry is durable, and rejects when it cannot be. Of anything else: at once. */
  note(request: AnsweredRequest): Promise<void>;
}

export const NO_TRAIL: AuditTrail = { note: () => Promise.resolve() };
