/**
 * What a command says, in one of two voices: lines for a person, or one JSON object a line for a program
 * (`--json`). Results go to standard output, progress and errors to standard error; progress is drawn only
 * on a terminal, so that logs stay short.
 */
import process from 'node:process';
import type { Writable } from 'node:stream';
import { OperationError, describeError } from '../base/errors.ts';

/** The streams that a command writes to. */
export interface Output {
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

export interface Terminal {
  readonly json: boolean;
  /** One result: `fields` for a program, `text` for a person. */
  say(event: string, fields: Readonly<Record<string, unknown>>, text: string): void;
  /** Something to notice that is not the result; on standard error for a person. */
  warn(event: string, fields: Readonly<Record<string, unknown>>, text: string): void;
  /** One line, whatever names from outside stand in the message. */
  fail(error: unknown): void;
  /** Raw bytes to standard output; resolves when it has taken them, DISCONNECTED when nobody reads them. */
  write(bytes: Uint8Array): Promise<void>;
  /** `total` in the unit given to `advance`, or undefined when unknown. */
  progress(label: string, total: number | undefined, unit: 'bytes' | 'objects'): Progress;
}

export interface Progress {
  advance(by: number): void;
  end(): void;
}

const REDRAW_MS = 100;
const LINE_CHARS_MAX = 2_000;

export function processTerminal(json: boolean, output: Output = process): Terminal {
  const { stdout, stderr } = output;
  const print = (event: string, fields: Readonly<Record<string, unknown>>): void => {
    stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
  };
  return {
    json,
    say(event, fields, text) {
      if (json) print(event, fields);
      else stdout.write(`${text}\n`);
    },
    warn(event, fields, text) {
      if (json) print(event, fields);
      else stderr.write(`${text}\n`);
    },
    fail(error) {
      if (json) print('error', errorFields(error));
      else stderr.write(`${oneLine(describeError(error))}\n`);
    },
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stdout.write(bytes, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(new OperationError('DISCONNECTED', 'Standard output takes no more bytes.', { cause: error }));
        });
      }),
    progress(label, total, unit) {
      if (json || stderr.isTTY !== true) return { advance: () => undefined, end: () => undefined };
      return drawnProgress(stderr, oneLine(label), total, unit);
    },
  };
}

/** Text that may hold names from outside, on one line: a control character in it must not reach a terminal. */
export function oneLine(text: string): string {
  const line = text
    .replaceAll(/\s*\n\s*/g, ' ')
    .replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
  // A long name stands in the middle, and the reason behind it.
  return line.length <= LINE_CHARS_MAX ? line : `${line.slice(0, LINE_CHARS_MAX / 2)}…${line.slice(-LINE_CHARS_MAX / 2)}`;
}

export function errorFields(error: unknown): Record<string, unknown> {
  if (error instanceof OperationError) {
    return { code: error.code, message: error.message, ...(error.remedy === undefined ? {} : { remedy: error.remedy }) };
  }
  return { code: 'INTERNAL', message: describeError(error) };
}

function drawnProgress(stderr: Writable, label: string, total: number | undefined, unit: 'bytes' | 'objects'): Progress {
  const started = performance.now();
  let done = 0;
  let drawnAt = -Infinity;
  const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : `${value} objects`);
  const draw = (): void => {
    const seconds = Math.max(0.001, (performance.now() - started) / 1000);
    const share = total === undefined || total === 0 ? '' : ` ${Math.floor((100 * done) / total)} %`;
    stderr.write(`\r\x1b[K${label}${share}  ${amount(done)}  ${amount(Math.round(done / seconds))}/s`);
  };
  return {
    advance(by) {
      done += by;
      if (performance.now() - drawnAt < REDRAW_MS) return;
      drawnAt = performance.now();
      draw();
    },
    end() {
      stderr.write('\r\x1b[K');
    },
  };
}

/** Bytes for a person: three digits and a binary unit. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** Columns padded to their widest cell; the last one is left as it is. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows
    .map((row) => row.map((cell, c) => (c === row.length - 1 ? cell : cell.padEnd(widths[c] ?? 0))).join('  '))
    .join('\n');
}
