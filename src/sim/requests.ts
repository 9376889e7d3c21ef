/** What the requests of simulated clients have in common. */
import { sha256 } from '../crypto/primitives.ts';
import { concat, utf8 } from '../base/bytes.ts';
import type { OperationId } from '../gateway/s3/port/content.ts';
import type { ObjectAttributes, ObjectMetadata, OpenObject } from '../gateway/s3/port/objects.ts';

export const NO_METADATA: ObjectMetadata = {
  contentType: undefined,
  cacheControl: undefined,
  contentDisposition: undefined,
  contentEncoding: undefined,
  contentLanguage: undefined,
  expires: undefined,
  websiteRedirect: undefined,
  sse: undefined,
  user: [],
};
export const NO_ATTRIBUTES: ObjectAttributes = { tags: [], accessControl: undefined, retention: undefined, legalHold: false };
export const OWNER = 'simulated';
/** A client whose connection was cut sends the request again, as the SDKs do. */
export const ATTEMPTS = 3;
export const AGAIN_MS = 400;
export const LIST_ROWS_MAX = 1_000;
/** Of a bucket that was made once. */
export const FIRST_GENERATION = 1;

export interface Counts {
  acknowledged: number;
  unknown: number;
  refused: number;
  reads: number;
  failedReads: number;
  lists: number;
  resent: number;
  /** For a condition or a lock. */
  declined: number;
}

export function noCounts(): Counts {
  return { acknowledged: 0, unknown: 0, refused: 0, reads: 0, failedReads: 0, lists: 0, resent: 0, declined: 0 };
}

export function operationId(name: string): OperationId {
  return { id: sha256(utf8(`operation ${name}`)), repeatable: true };
}

export async function bytesOf(found: OpenObject): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  // A chunk may be used again once the next one is asked for.
  for await (const chunk of found.read({ from: 0, to: found.info.size })) chunks.push(chunk.slice());
  return concat(...chunks);
}
