/**
 * The small JSON files of a folder, and join requests: text that a person can read and that has one meaning.
 * Where a name stands twice, a person reads the first value and a parser takes the last; such a text is
 * refused, as is one of a later version, and each refusal says which of the two it is.
 */
import type { z } from 'zod';
import { fromUtf8 } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';

export const FOLDER_FILE_BYTES_MAX = 16 * 1024;
const VERSION = 1;

export type ParsedJson<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string; readonly isLater: boolean };

/** Never throws. `isLater`: a later version of the program wrote it. */
export function parseJson<T>(text: string, schema: z.ZodType<T>): ParsedJson<T> {
  const bad = (reason: string, isLater: boolean = false): ParsedJson<T> => ({ ok: false, reason, isLater });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad('it is not JSON');
  }
  const version = versionOf(value);
  if (version > VERSION) return bad(`it has version ${version}, and this program knows ${VERSION}`, true);
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue?.path.join('.') ?? '';
    return bad(`${where === '' ? '' : `${where}: `}${issue?.message ?? 'it is wrong'}`);
  }
  if (withoutSpace(text) !== JSON.stringify(value)) return bad('a name stands in it twice, or a value is not written in the plainest way');
  return { ok: true, value: parsed.data };
}

function versionOf(value: unknown): number {
  const version = typeof value === 'object' && value !== null && 'v' in value ? value.v : undefined;
  return typeof version === 'number' && Number.isSafeInteger(version) ? version : 0;
}

/** The text without the space between its values. */
function withoutSpace(text: string): string {
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
}

/** Reads and checks a file of a folder. Absent: `absentCode`; unreadable or wrong: CORRUPT, which says what to do. */
export async function readJson<T>(
  disk: Disk,
  file: string,
  schema: z.ZodType<T>,
  absentCode: 'NOT_FOUND' | 'LOST_STATE',
  maxBytes: number = FOLDER_FILE_BYTES_MAX,
): Promise<T> {
  const text = await readText(disk, file, absentCode, maxBytes);
  const parsed = parseJson(text, schema);
  if (parsed.ok) return parsed.value;
  throw corrupt(file, parsed.reason, parsed.isLater);
}

async function readText(disk: Disk, file: string, absentCode: 'NOT_FOUND' | 'LOST_STATE', maxBytes: number): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await disk.readFile(file, maxBytes);
  } catch (error) {
    if (isOperationError(error, 'NOT_FOUND')) throw new OperationError(absentCode, `${file} is missing.`, { cause: error });
    if (isOperationError(error, 'TOO_LARGE')) throw corrupt(file, `it has more than ${maxBytes} bytes`);
    throw error;
  }
  try {
    return fromUtf8(bytes);
  } catch {
    throw corrupt(file, 'it is not UTF-8');
  }
}

function corrupt(file: string, reason: string, isLater: boolean = false): OperationError {
  return new OperationError('CORRUPT', `${file} cannot be used: ${reason}.`, {
    remedy: isLater ? 'Run the version of the program that wrote this folder.' : 'Put the file back as it was written; nothing in it is meant to be edited.',
  });
}
