import { describe, expect, it } from 'vitest';
import { OperationError } from '../base/errors.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { parseObjectAddress, requireKey } from './object-address.ts';
import { processTelemetry } from './process-telemetry.ts';
import { errorFields, formatBytes, formatTable } from './terminal.ts';

describe('what a person reads', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1024 * 1024 - 1, '1024 KiB'],
    [1.5 * 1024 ** 3, '1.5 GiB'],
    [250 * 1024 ** 4, '250 TiB'],
  ])('%d bytes are shown as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('lines up columns and leaves the last one alone', () => {
    expect(formatTable([['a', 'bb'], ['ccc', 'd']])).toBe('a    bb\nccc  d');
  });
});

describe('exit codes', () => {
  it.each([
    [new OperationError('BAD_GEOMETRY', 'x'), EXIT.usage],
    [new OperationError('DAMAGED', 'x'), EXIT.damage],
    [new OperationError('NOT_FOUND', 'x'), EXIT.notFound],
    [new OperationError('NO_QUORUM', 'x'), EXIT.unavailable],
    [new OperationError('LOST_STATE', 'x'), EXIT.lostState],
    [new OperationError('IN_USE', 'x'), EXIT.failure],
    [new Error('x'), EXIT.failure],
  ])('%s ends a command with %d', (error, code) => {
    expect(exitCodeOf(error)).toBe(code);
  });

  it('an error for a program has its code, its message and what to do', () => {
    const error = new OperationError('IN_USE', 'The port is taken.', { remedy: 'Choose another.' });
    expect(errorFields(error)).toEqual({ code: 'IN_USE', message: 'The port is taken.', remedy: 'Choose another.' });
  });
});

describe('the name of an object', () => {
  it.each([
    ['b/k', 'b', 'k'],
    ['s3://b/k/l ', 'b', 'k/l '],
    ['b', 'b', ''],
    ['b//k', 'b', '/k'],
  ])('%s is bucket %s and key %s', (text, bucket, key) => {
    expect(parseObjectAddress(text)).toEqual({ bucket, key });
  });

  it('needs a bucket, and a key where an object is meant', () => {
    expect(() => parseObjectAddress('/k')).toThrow(/names no bucket/);
    expect(() => requireKey('b')).toThrow(/names a bucket/);
  });
});

describe('the telemetry of a process', () => {
  it('counts by name and labels, and bounds the number of series', () => {
    const telemetry = processTelemetry({ process: 'test' });
    telemetry.count('a', { b: '1' });
    telemetry.count('a', { b: '1' }, 2);
    for (let i = 0; i < 5000; i += 1) telemetry.count('flood', { from: String(i) });
    const counters = telemetry.counters();
    expect(counters['a{b=1}']).toBe(3);
    expect(Object.keys(counters).length).toBeLessThanOrEqual(2049);
    expect(counters['flood{overflow=true}']).toBeGreaterThan(2900);
  });

  it('writes no more than its rate, and says how much it left out', () => {
    const lines: string[] = [];
    let now = 0;
    const telemetry = processTelemetry({ process: 'test', write: (line) => lines.push(line), nowMs: () => now });
    for (let i = 0; i < 1000; i += 1) telemetry.event('info', 'flood');
    telemetry.event('debug', 'silent');
    expect(lines).toHaveLength(200);
    now += 10_000;
    telemetry.event('warn', 'later');
    expect(lines.slice(200).map((line) => JSON.parse(line) as object)).toMatchObject([
      { event: 'events_suppressed', count: 800 },
      { event: 'later', level: 'warn', process: 'test' },
    ]);
  });
});
