/**
 * A multipart/form-data body (RFC 7578) as browsers send it to PostObject: small fields first, then the file,
 * which must be the last part. The fields are read into bounded memory; the file streams. Its size is what the
 * announced length leaves, so the end of the body must be the closing boundary and nothing else: whatever
 * follows the file is refused, never taken for a piece of it.
 */
import { concat, mapKey, utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { textOfBytes } from '../http/headers.ts';

/** All that stands before the file. S3 allows 20 KB of fields; part headers come on top. */
export const FORM_BYTES_MAX = 32 * 1024;
const FIELDS_MAX = 100;
const NEW_LINE = '\r\n';

export interface FormFile {
  readonly name: string | undefined;
  /** Exactly how many bytes will come. */
  readonly size: number;
  /** Rejects with S3Error when the body does not end as it must. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface Form {
  /** By lower-case name, as text. */
  readonly fields: ReadonlyMap<string, string>;
  readonly file: FormFile;
}

const malformed = (message: string): S3Error => new S3Error('MalformedPOSTRequest', message);

/** The boundary of a Content-Type; throws S3Error. */
export function boundaryOf(contentType: string | undefined): string {
  const match = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType ?? '');
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined) throw new S3Error('PreconditionFailed', 'Bucket POST must be of the enclosure-type multipart/form-data.');
  return boundary;
}

/** Takes bytes off a stream up to a mark. */
class Pieces {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);
  /** Bytes taken. */
  taken = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** What stands before `mark`, which is taken too. Throws when it does not come within the bound. */
  async until(mark: string): Promise<string> {
    for (;;) {
      const at = mapKey(this.#held).indexOf(mark);
      if (at >= 0) return this.#take(at + mark.length).slice(0, at);
      if (this.taken + this.#held.length > FORM_BYTES_MAX) throw new S3Error('MaxPostPreDataLengthExceededError');
      if (!(await this.#more())) throw malformed('The form ended before its file.');
    }
  }

  async exactly(count: number): Promise<string> {
    while (this.#held.length < count) if (!(await this.#more())) throw malformed('The form ended before its file.');
    return this.#take(count);
  }

  /** All that is left, first what is held already. */
  async *rest(): AsyncGenerator<Uint8Array> {
    yield this.#held;
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next()) yield next.value;
  }

  #take(count: number): string {
    const out = mapKey(this.#held.subarray(0, count));
    this.#held = this.#held.subarray(count);
    this.taken += count;
    if (this.taken > FORM_BYTES_MAX) throw new S3Error('MaxPostPreDataLengthExceededError');
    return out;
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#held = concat(this.#held, next.value);
    return true;
  }
}

interface PartHead {
  readonly name: string;
  readonly fileName: string | undefined;
}

function partHead(head: string): PartHead {
  const disposition = head.split(NEW_LINE).find((line) => /^content-disposition\s*:/i.test(line)) ?? '';
  const parameter = (name: string): string | undefined => {
    const match = new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(disposition);
    // Browsers write quotes as %22; older clients with a backslash before them.
    const raw = match?.[1]?.replace(/\\(["\\])/g, '$1').replace(/%22/g, '"');
    return raw === undefined ? undefined : text(raw);
  };
  const name = parameter('name');
  if (!/^content-disposition\s*:\s*form-data\b/i.test(disposition) || name === undefined)
    throw malformed('A part of the form has no name.');
  return { name: name.toLowerCase(), fileName: parameter('filename') };
}

function text(bytes: string): string {
  const decoded = textOfBytes(bytes);
  if (decoded === undefined) throw malformed('A field of the form is not UTF-8.');
  return decoded;
}

/** Reads the fields and opens the file; `size` is the announced length of the whole body. Throws S3Error. */
export async function readForm(boundary: string, size: number, body: AsyncIterable<Uint8Array>): Promise<Form> {
  const pieces = new Pieces(body);
  const delimiter = `--${boundary}`;
  if ((await pieces.exactly(delimiter.length)) !== delimiter) throw malformed('The form does not begin with its boundary.');
  const fields = new Map<string, string>();
  for (;;) {
    const end = await pieces.exactly(NEW_LINE.length);
    if (end === '--') throw new S3Error('InvalidArgument', 'POST requires exactly one file upload per request.');
    if (end !== NEW_LINE) throw malformed('A boundary of the form is not followed by a new line.');
    const { name, fileName } = partHead(await pieces.until(NEW_LINE + NEW_LINE));
    if (name === 'file') return { fields, file: fileOf(pieces, delimiter, size, fileName) };
    if (fields.has(name)) throw new S3Error('InvalidArgument', `The field ${name.slice(0, 64)} is given twice.`);
    if (fields.size === FIELDS_MAX) throw malformed('The form has too many fields.');
    fields.set(name, text(await pieces.until(NEW_LINE + delimiter)));
  }
}

function fileOf(pieces: Pieces, delimiter: string, size: number, name: string | undefined): FormFile {
  const closing = `${NEW_LINE}${delimiter}--${NEW_LINE}`;
  const fileBytes = size - pieces.taken - closing.length;
  if (fileBytes < 0) throw malformed('The form ends within its file.');
  return { name: name?.split(/[/\\]/).at(-1), size: fileBytes, bytes: untilClosing(pieces.rest(), fileBytes, closing) };
}

/** Passes on `size` bytes; holds back as many as a delimiter has, so that one across two pieces is seen. */
async function* untilClosing(source: AsyncIterable<Uint8Array>, size: number, closing: string): AsyncGenerator<Uint8Array> {
  const delimiter = utf8(closing.slice(0, -4));
  let left = size;
  let held: Uint8Array = new Uint8Array(0);
  for await (const piece of source) {
    const joined: Uint8Array = held.length === 0 ? piece : concat(held, piece);
    // The closing delimiter begins exactly behind the file; any other one is another part.
    const at = indexOf(joined, delimiter);
    if (at >= 0 && at !== left) throw malformed('Nothing may follow the file in a form.');
    const ready = at >= 0 ? at : Math.max(0, Math.min(left, joined.length - delimiter.length + 1));
    if (ready > 0) yield joined.subarray(0, ready);
    left -= ready;
    held = joined.slice(ready);
    if (held.length > closing.length + delimiter.length) throw malformed('The form does not end with its boundary.');
  }
  if (left !== 0 || mapKey(held) !== closing) throw malformed('The form does not end with its boundary.');
}

/** Where `wanted` begins in `bytes`, or -1. It begins with a carriage return, which is rare. */
function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  const first = wanted[0] ?? 0;
  const last = bytes.length - wanted.length;
  for (let at = bytes.indexOf(first); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let same = 1;
    while (same < wanted.length && bytes[at + same] === wanted[same]) same += 1;
    if (same === wanted.length) return at;
  }
  return -1;
}
