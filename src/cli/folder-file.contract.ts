/**
 * What every small file of a folder keeps, whichever program reads it: as it was written it is taken, and
 * anything else is refused with a typed error that names the file, the field at fault where there is one, and
 * what to do; it repeats no secret and changes nothing on the disk.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, hex, utf8 } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

/** One kind of file in a world of its own. */
export interface FolderFile {
  readonly name: string;
  /** As the program wrote it: a JSON object. */
  readonly text: string;
  /** No error repeats any of these. */
  readonly secrets: readonly string[];
  /** Fields that may be null. */
  readonly nullable?: readonly string[];
  /** Which refusals it may have. */
  readonly codes: readonly ErrorCode[];
  readonly bytesMax: number;
  /** Puts these bytes in the place of the file and lets the program read it. */
  readonly read: (bytes: Uint8Array) => Promise<unknown>;
  /** What stands there now. */
  readonly stored: () => Promise<Uint8Array>;
}

type Json = Record<string, unknown>;

export function folderFileContract(label: string, make: () => Promise<FolderFile>): void {
  describe(`a ${label}`, () => {
    it('is taken as it was written, however it is spaced', async () => {
      const file = await make();
      const value = JSON.parse(file.text) as Json;
      const read = await file.read(utf8(file.text));
      for (const space of [0, 1, '\t', '\n   ']) expect(await file.read(utf8(`\r\n${JSON.stringify(value, null, space)} `))).toEqual(read);
    });

    it.each(WRONG_TEXTS)('is refused when it is %s', async (_what, change) => {
      const file = await make();
      await refused(file, typeof change === 'string' ? utf8(change) : change(file.text));
    });

    it('is refused as such when it is not UTF-8', async () => {
      const file = await make();
      expect(await refused(file, concat(utf8(file.text), Uint8Array.of(0xff, 0xfe)))).toContain('not UTF-8');
    });

    it('is refused when it has more bytes than allowed, even if they are space', async () => {
      const file = await make();
      const padded = (bytes: number): Uint8Array => utf8(file.text.padEnd(bytes));
      await file.read(padded(file.bytesMax));
      expect(await refused(file, padded(file.bytesMax + 1))).toMatch(/more than \d+ bytes|too long|too large|too many/);
    });

    it('is refused when it was cut short anywhere, as by a lost write', async () => {
      const file = await make();
      const whole = file.text.trimEnd();
      for (let length = 0; length < whole.length; length += 1 + Math.floor(whole.length / 25)) await refused(file, utf8(whole.slice(0, length)));
      await refused(file, concat(utf8(whole.slice(0, 40)), new Uint8Array(whole.length - 40)));
    });

    it.each(WRONG_VALUES)('is refused when %s stands in any field, which is named', async (_what, wrong) => {
      const file = await make();
      const value = JSON.parse(file.text) as Json;
      for (const field of Object.keys(value)) {
        const text = JSON.stringify({ ...value, [field]: MARK }).replace(JSON.stringify(MARK), () => wrong);
        if (isSame(text, value) || (wrong === 'null' && file.nullable?.includes(field) === true)) continue;
        expect(await refused(file, utf8(text)), `${field}: ${wrong.slice(0, 40)}`).toMatch(isLater(field, wrong) ? /version/ : new RegExp(`\\b${field}\\b`));
      }
    });

    it('is refused when a field is missing, which is named', async () => {
      const file = await make();
      const value = JSON.parse(file.text) as Json;
      for (const field of Object.keys(value)) {
        const { [field]: _gone, ...rest } = value;
        expect(await refused(file, utf8(JSON.stringify(rest))), field).toContain(field);
      }
    });

    it('is refused when a field stands in it that nobody knows, which is named', async () => {
      const file = await make();
      for (const name of ['comment', '__proto__', 'constructor', 'toString', 'V', '']) {
        const text = file.text.replace('{', () => `{${JSON.stringify(name)}: {"v": 1},`);
        expect(await refused(file, utf8(text)), name).toContain(name);
      }
    });

    it('is refused when a field stands in it twice, also under another spelling', async () => {
      const file = await make();
      const value = JSON.parse(file.text) as Json;
      for (const [field, content] of Object.entries(value)) {
        for (const name of [JSON.stringify(field), `"\\u${field.charCodeAt(0).toString(16).padStart(4, '0')}${field.slice(1)}"`]) {
          for (const first of [content, null]) {
            const text = file.text.replace('{', () => `{${name}: ${JSON.stringify(first)},`);
            expect(await refused(file, utf8(text)), text).toContain('twice');
          }
        }
      }
    });

    it('of a later version is refused with both versions and the advice to run that version', async () => {
      const file = await make();
      const value = JSON.parse(file.text) as Json;
      for (const version of [2, 3, 1_000_000]) {
        const later = { ...value, v: version, role: 'archivist', sealedSeeds: ['x'] };
        const error = await refusal(file, utf8(JSON.stringify(later)));
        expect(error.message).toContain(`version ${version}, and this program knows 1`);
        expect(error.remedy).toMatch(/version of the program|as it is/);
      }
    });

    it('whose bits flip is taken for another of its kind or refused, and never more than that', async () => {
      const file = await make();
      const whole = utf8(file.text);
      await fc.assert(
        fc.asyncProperty(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
          const bytes = whole.slice();
          bytes[at] = (bytes[at] ?? 0) ^ mask;
          await file.read(bytes).catch((error: unknown) => expectTyped(file, error));
        }),
        { numRuns: 100 },
      );
    });
  });
}

const MARK = 'the place of a wrong value';

const WRONG_TEXTS: readonly (readonly [string, string | ((text: string) => Uint8Array)])[] = [
  ['empty', ''],
  ['space', ' \n '],
  ['not JSON', 'v: 1'],
  ['null', 'null'],
  ['a number', '1'],
  ['a text', '"v"'],
  ['a list', '[{"v": 1}]'],
  ['an empty object', '{}'],
  ['brackets without end', '['.repeat(8_000)],
  ['deeply nested', `${'['.repeat(8_000)}${']'.repeat(8_000)}`],
  ['followed by something', (text) => utf8(`${text}x`)],
  ['followed by itself', (text) => utf8(`${text}${text}`)],
  ['followed by zeros', (text) => concat(utf8(text), new Uint8Array(16))],
  ['in a list', (text) => utf8(`[${text}]`)],
  ['behind a byte order mark', (text) => concat(Uint8Array.of(0xef, 0xbb, 0xbf), utf8(text))],
  ['UTF-16', (text) => new Uint8Array(Buffer.from(text, 'utf16le'))],
  ['with a comment', (text) => utf8(text.replace('{', '{ // mine\n'))],
  ['with a comma at its end', (text) => utf8(text.trimEnd().replace(/\}$/, ',}'))],
];

/** As they stand in the text: JSON numbers may be greater than any number. */
const WRONG_VALUES: readonly (readonly [string, string])[] = [
  ['null', 'null'],
  ['a boolean', 'true'],
  ['a number that is none of its kind', '-1.5'],
  ['a number above all', '1e999'],
  ['a number that cannot be counted to', '9007199254740993'],
  ['an empty text', '""'],
  ['a text with control characters', JSON.stringify('\u001b[2J\u0000\n')],
  ['a long text', JSON.stringify('x'.repeat(9_000))],
  ['an object', '{"v": 1, "toString": null}'],
  ['a nested list', `${'['.repeat(3_000)}${']'.repeat(3_000)}`],
];

function isSame(text: string, value: Json): boolean {
  return JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
}

function isLater(field: string, wrong: string): boolean {
  return field === 'v' && Number.isSafeInteger(Number(wrong)) && Number(wrong) > 1;
}

/** The message of the refusal, after all that every refusal keeps. */
async function refused(file: FolderFile, bytes: Uint8Array): Promise<string> {
  return (await refusal(file, bytes)).message;
}

async function refusal(file: FolderFile, bytes: Uint8Array): Promise<OperationError> {
  const outcome: unknown = await file.read(bytes).then(
    (value) => ({ taken: value }),
    (error: unknown) => error,
  );
  expectTyped(file, outcome);
  expect(hex(await file.stored())).toBe(hex(bytes));
  return outcome as OperationError;
}

function expectTyped(file: FolderFile, error: unknown): void {
  if (!(error instanceof OperationError)) throw new Error(`not refused with an OperationError: ${JSON.stringify(error)} ${String(error)}`);
  expect(file.codes).toContain(error.code);
  expect(error.message).toContain(file.name);
  expect(error.remedy ?? '').not.toBe('');
  const said = `${error.message} ${error.remedy ?? ''}`;
  expect(said.length).toBeLessThan(1_500);
  for (const secret of file.secrets) expect(said).not.toContain(secret);
}
