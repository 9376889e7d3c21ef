/**
 * Continuation tokens: a position in a listing, opaque to the client and authenticated, so that a token of
 * another listing, a changed one or an invented one is refused instead of skipping keys silently. Layout
 * before base64url: version 1 (1 byte), HMAC-SHA-256 cut to 16 bytes over the listing's scope and the
 * position, position.
 */
import { concat, utf8 } from '../../../base/bytes.ts';
import { prf, timingSafeEqual } from '../../../crypto/primitives.ts';
import { base64url, fromBase64url } from './base64.ts';
import { S3Error } from './errors.ts';

const VERSION = 1;
const TAG_BYTES = 16;
const TOKEN_TEXT_MAX = 4096;
const PURPOSE = 'holdfast/s3/continuation/v1';

function tagOf(key: Uint8Array, scope: readonly string[], position: Uint8Array): Uint8Array {
  return prf(key, PURPOSE, ...scope.map(utf8), position).subarray(0, TAG_BYTES);
}

/** `scope` is what makes two listings different: bucket, prefix, delimiter. */
export function sealToken(key: Uint8Array, scope: readonly string[], position: Uint8Array): string {
  return base64url(concat(Uint8Array.of(VERSION), tagOf(key, scope, position), position));
}

/** Throws S3Error InvalidArgument for a token that `sealToken` did not make for this scope. */
export function openToken(key: Uint8Array, scope: readonly string[], token: string): Uint8Array {
  const bytes = token.length > TOKEN_TEXT_MAX ? undefined : fromBase64url(token);
  const position = bytes?.subarray(1 + TAG_BYTES);
  if (
    bytes?.[0] !== VERSION ||
    position === undefined ||
    !timingSafeEqual(bytes.subarray(1, 1 + TAG_BYTES), tagOf(key, scope, position))
  ) {
    throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect.');
  }
  return position;
}
