/**
 * GET and HEAD of one part of a finished object (partNumber): where it lies. An object that was not uploaded
 * in parts is one part, its first.
 */
import type { Call } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import type { Checksum } from '../checksums/checksums.ts';
import type { ByteSpan } from '../port/content.ts';
import type { VersionAddress } from '../port/objects.ts';
import { missing } from '../versions/version-id.ts';

export const PARTS_MAX = 10_000;

export interface ChosenPart {
  /** Of the version that the part is one of. */
  readonly etag: string;
  readonly span: ByteSpan;
  /** Of the object; 0 when it was not uploaded in parts. */
  readonly partCount: number;
  readonly checksum: Checksum | undefined;
}

/** The number of the part that the request is about. Throws S3Error. */
export function partNumberOf(call: Call): number {
  const text = call.query.get('partNumber') ?? '';
  const number = Number(text);
  if (!/^\d{1,5}$/.test(text) || number < 1 || number > PARTS_MAX) {
    throw new S3Error(
      'InvalidArgument',
      `Part number must be an integer between 1 and ${String(PARTS_MAX)}.`,
    );
  }
  return number;
}

/** The part that the request names; undefined when it names none. Throws S3Error. */
export async function choosePart(call: Call, address: VersionAddress): Promise<ChosenPart | undefined> {
  if (!call.query.has('partNumber')) return undefined;
  const number = partNumberOf(call);
  if (call.headers.has('range'))
    throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter.');
  const found = await call.store.objectParts(address);
  if (found.outcome !== 'found') throw missing(found, address);
  const { info, parts } = found;
  const { etag, size, partCount, checksum } = info;
  if (partCount === 0) {
    if (number !== 1) throw new S3Error('InvalidPart');
    return { etag, span: { from: 0, to: size }, partCount, checksum };
  }
  let from = 0;
  for (const part of parts) {
    const to = from + part.size;
    if (part.number === number) return { etag, span: { from, to }, partCount, checksum: ofObject(part.checksum, checksum) };
    from = to;
  }
  throw new S3Error('InvalidPart');
}

/** S3 tells the value of the part with the type of the object's checksum. */
function ofObject(part: Checksum | undefined, object: Checksum | undefined): Checksum | undefined {
  return part === undefined || object === undefined ? part : { ...part, type: object.type };
}
