/**
 * What a command says, in one of two voices: lines for a person, or one JSON object a line for a program
 * (`--json`). Results go to standard output, progress and errors to standard error; progress is drawn only
 * on a terminal, so that logs stay short.
 */
import process from 'node:process';
import { OperationError, describeError } from '../base/errors.ts';

export interface Terminal {
  readonly json: boolean;
  /** One result: `fields` for a program, `text` for a person. */
  say(event: string, fields: Readonly<Record<string, unknown>>, text: string): void;
  /** Something to notice that is not the result; on standard error for a person. */
  warn(event: string, fields: Readonly<Record<string, unknown>>, text: string): void;
  fail(error: unknown): void;
  /** `total` in the unit given to `advance`, or undefined when unknown. */
  progress(label: string, total: number | undefined, unit: 'bytes' | 'objects'): Progress;
}

export interface Progress {
  advance(by: number): void;
  end(): void;
}

const REDRAW_MS = 100;

export function processTerminal(json: boolean): Terminal {
  const print = (event: string, fields: Readonly<Record<string, unknown>>): void => {
    process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
  };
  return {
    json,
    say(event, fields, text) {
      if (json) print(event, fields);
      else process.stdout.write(`${text}\n`);
    },
    warn(event, fields, text) {
      if (json) print(event, fields);
      else process.stderr.write(`${text}\n`);
    },
    fail(error) {
      if (json) print('error', errorFields(error));
      else process.stderr.write(`${describeError(error)}\n`);
    },
    progress(label, total, unit) {
      if (json || !process.stderr.isTTY) return { advance: () => undefined, end: () => undefined };
      return drawnProgress(label, total, unit);
    },
  };
}

export function errorFields(error: unknown): Record<string, unknown> {
  if (error instanceof OperationError) {
    return { code: error.code, message: error.message, ...(error.remedy === undefined ? {} : { remedy: error.remedy }) };
  }
  return { code: 'INTERNAL', message: describeError(error) };
}

function drawnProgress(label: string, total: number | undefined, unit: 'bytes' | 'objects'): Progress {
  const started = performance.now();
  let done = 0;
  let drawnAt = -Infinity;
  const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : `${value} objects`);
  const draw = (): void => {
    const seconds = Math.max(0.001, (performance.now() - started) / 1000);
    const share = total === undefined || total === 0 ? '' : ` ${Math.floor((100 * done) / total)} %`;
    process.stderr.write(`\r\x1b[K${label}${share}  ${amount(done)}  ${amount(Math.round(done / seconds))}/s`);
  };
  return {
    advance(by) {
      done += by;
      if (performance.now() - drawnAt < REDRAW_MS) return;
      drawnAt = performance.now();
      draw();
    },
    end() {
      process.stderr.write('\r\x1b[K');
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
