/**
 * The policy of a form: a signed JSON document that says until when, and with which fields, somebody may
 * upload. Every field must be covered by a condition, so that a form cannot be given another meaning than its
 * signer allowed. Pure.
 */
import { fromUtf8 } from '../../../base/bytes.ts';
import { fromBase64 } from '../http/base64.ts';
import { S3Error } from '../http/errors.ts';

const CONDITIONS_MAX = 200;

export interface FormPolicy {
  readonly expiresMs: number;
  readonly conditions: readonly Condition[];
}

type Condition =
  | { readonly kind: 'eq' | 'starts-with'; readonly field: string; readonly value: string }
  | { readonly kind: 'content-length-range'; readonly min: number; readonly max: number };

const invalid = (message: string): S3Error => new S3Error('InvalidPolicyDocument', `Invalid Policy: ${message}`);

/** Throws S3Error InvalidPolicyDocument. */
export function parsePolicy(encoded: string): FormPolicy {
  const bytes = fromBase64(encoded.replace(/\s+/g, ''));
  let document: unknown;
  try {
    document = bytes === undefined ? undefined : JSON.parse(fromUtf8(bytes));
  } catch {
    throw invalid('it is not JSON.');
  }
  if (!isRecord(document)) throw invalid('it is not a JSON object.');
  const { expiration, conditions } = document;
  if (typeof expiration !== 'string') throw invalid('it has no expiration.');
  if (!Array.isArray(conditions) || conditions.length === 0) throw invalid('it has no conditions.');
  if (conditions.length > CONDITIONS_MAX) throw invalid('it has too many conditions.');
  return { expiresMs: parseExpiration(expiration), conditions: conditions.flatMap((one: unknown) => parseCondition(one)) };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseExpiration(text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw invalid('the expiration is not an ISO 8601 time.');
  return ms;
}

function parseCondition(value: unknown): Condition[] {
  if (isRecord(value)) {
    return Object.entries(value).map(([field, wanted]) => {
      if (typeof wanted !== 'string') throw invalid('a condition has a value that is not text.');
      return { kind: 'eq', field: field.toLowerCase(), value: wanted };
    });
  }
  if (!Array.isArray(value) || value.length !== 3) throw invalid('a condition is neither an object nor a list of three.');
  const [operator, first, second] = value as readonly unknown[];
  const kind = typeof operator === 'string' ? operator.toLowerCase() : '';
  if (kind === 'content-length-range') return [{ kind, min: byteCount(first), max: byteCount(second) }];
  if (kind !== 'eq' && kind !== 'starts-with') throw invalid('a condition has an operator that is not known.');
  if (typeof first !== 'string' || !first.startsWith('$') || typeof second !== 'string')
    throw invalid('a condition does not name a $field and a value.');
  return [{ kind, field: first.slice(1).toLowerCase(), value: second }];
}

function byteCount(value: unknown): number {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) throw invalid('content-length-range needs two numbers.');
  return Number(text);
}

/** Fields that a policy need not name: what carries the signature, and what the client itself ignores. */
function needsNoCondition(field: string): boolean {
  return field === 'policy' || field === 'x-amz-signature' || field.startsWith('x-ignore-');
}

/**
 * Throws AccessDenied, EntityTooSmall or EntityTooLarge. `fields`: all of the form and `bucket`, by lower-case
 * name, with the file's name already in the key.
 */
export function enforcePolicy(policy: FormPolicy, fields: ReadonlyMap<string, string>, size: number, nowMs: number): void {
  if (nowMs >= policy.expiresMs) throw new S3Error('AccessDenied', 'Invalid according to Policy: Policy expired.');
  const covered = new Set<string>();
  for (const condition of policy.conditions) {
    if (condition.kind === 'content-length-range') {
      if (size < condition.min) throw new S3Error('EntityTooSmall');
      if (size > condition.max) throw new S3Error('EntityTooLarge');
      continue;
    }
    const { kind, field, value } = condition;
    covered.add(field);
    const given = fields.get(field) ?? '';
    if (kind === 'eq' ? given !== value : !given.startsWith(value))
      throw new S3Error('AccessDenied', `Invalid according to Policy: Policy Condition failed: ${kind} on ${printable(field)}.`);
  }
  for (const field of fields.keys()) {
    if (field !== 'bucket' && !covered.has(field) && !needsNoCondition(field))
      throw new S3Error('AccessDenied', `Invalid according to Policy: Extra input fields: ${printable(field)}.`);
  }
}

const printable = (name: string): string => name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
