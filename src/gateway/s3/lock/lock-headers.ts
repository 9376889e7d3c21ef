/**
 * The x-amz-object-lock-* headers: what a new version is locked by, and what GET and HEAD say of it; and the
 * header by which a caller asks to pass over GOVERNANCE. How long something may be locked is decided by the
 * store, against clocks that one node cannot set.
 */
import type { HeaderField } from '../../../base/http.ts';
import { isoTime } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { LockMode } from '../port/buckets.ts';
import type { ObjectAttributes, Retention } from '../port/objects.ts';
import { timestampMs } from '../http/timestamp.ts';

export type Lock = Pick<ObjectAttributes, 'retention' | 'legalHold'>;

export function isLockMode(text: string): text is LockMode {
  return text === 'GOVERNANCE' || text === 'COMPLIANCE';
}

/** Throws S3Error InvalidArgument for a time that has passed. */
export function requireFuture(untilMs: number, nowMs: number): number {
  if (untilMs <= nowMs)
    throw new S3Error('InvalidArgument', 'The retain until date must be in the future!');
  return untilMs;
}

/** Throws S3Error InvalidArgument. */
export function lockHeadersOf(headers: Headers, nowMs: number): Lock {
  const hold = headers.get('x-amz-object-lock-legal-hold');
  if (hold !== undefined && hold !== 'ON' && hold !== 'OFF')
    throw new S3Error('InvalidArgument', "Legal Hold must be either of 'ON' or 'OFF'.");
  return { retention: retentionOf(headers, nowMs), legalHold: hold === 'ON' };
}

function retentionOf(headers: Headers, nowMs: number): Retention | undefined {
  const mode = headers.get('x-amz-object-lock-mode');
  const until = headers.get('x-amz-object-lock-retain-until-date');
  if (mode === undefined && until === undefined) return undefined;
  if (mode === undefined || until === undefined) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied.',
    );
  }
  if (!isLockMode(mode)) throw new S3Error('InvalidArgument', 'Unknown wormMode directive.');
  const untilMs = timestampMs(
    until,
    () => new S3Error('InvalidArgument', 'The retain until date must be provided in ISO 8601 format.'),
  );
  return { mode, untilMs: requireFuture(untilMs, nowMs) };
}

export function lockResponseHeaders({ retention, legalHold }: Lock): readonly HeaderField[] {
  const headers: HeaderField[] = [];
  if (retention !== undefined) {
    headers.push(['x-amz-object-lock-mode', retention.mode]);
    headers.push(['x-amz-object-lock-retain-until-date', isoTime(retention.untilMs)]);
  }
  if (legalHold) headers.push(['x-amz-object-lock-legal-hold', 'ON']);
  return headers;
}

/** Throws S3Error InvalidArgument. */
export function bypassesGovernance(headers: Headers): boolean {
  const value = headers.get('x-amz-bypass-governance-retention')?.toLowerCase();
  if (value !== undefined && value !== 'true' && value !== 'false')
    throw new S3Error('InvalidArgument', 'x-amz-bypass-governance-retention is not valid.');
  return value === 'true';
}
