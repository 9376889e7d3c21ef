/**
 * The erasure code by itself: encode, decode with all parity used up, decode of one lost cell, memory copy
 * beside them, and ISA-L beside that where it is installed. Figures are GB/s (1e9) of user data by processor
 * time, medians of interleaved rounds after a warm-up; ratios are those of performance.md, targets 1 to 5.
 */
import { equal } from '../src/base/bytes.ts';
import { wasmCodec } from '../src/erasure/wasm.ts';
import { buildIsal } from './isal.ts';
import type { Isal, IsalFigures } from './isal.ts';

export interface BenchRow {
  readonly name: string;
  /** null where it could not be measured; the unit then says why. */
  readonly value: number | null;
  readonly unit: string;
}

export interface CodecBenchOptions {
  readonly cellSizes?: readonly number[];
  /** Rounds that count; at least 7 for figures that are to be quoted. */
  readonly rounds?: number;
  /** Processor time of one case in one round. */
  readonly roundMs?: number;
  readonly print?: (line: string) => void;
}

const KiB = 1024;
const GEOMETRIES = [
  { k: 2, m: 2 },
  { k: 3, m: 2 },
  { k: 4, m: 2 },
  { k: 6, m: 4 },
  { k: 10, m: 4 },
] as const;
/** The kernels reach the optimising compiler within a few calls; this is ample. */
const WARM_UP_MS = 400;

interface Geometry {
  readonly k: number;
  readonly m: number;
  readonly cellBytes: number;
}

type Figures = Readonly<Record<'memcpy' | 'encode' | 'decodeAll' | 'decodeOne', number>>;

/** Prints and returns all rows; takes about half a minute with the defaults. */
export function benchCodec(options: CodecBenchOptions = {}): BenchRow[] {
  const { cellSizes = [64 * KiB, 1024 * KiB], rounds = 9, roundMs = 25, print = console.log } = options;
  const isal = buildIsal();
  const rows: BenchRow[] = [];
  const add = (name: string, value: number | null, unit: string): void => {
    rows.push({ name, value, unit });
    print(`${name.padEnd(52)} ${value === null ? 'NOT RUN' : value.toFixed(2).padStart(7)} ${unit}`);
  };
  try {
    for (const { k, m } of GEOMETRIES) {
      for (const cellBytes of cellSizes) {
        const label = `RS(${k},${m}) ${cellBytes / KiB} KiB`;
        const ours = measureOurs({ k, m, cellBytes }, rounds, roundMs);
        add(`${label} memcpy of the data`, ours.memcpy, 'GB/s');
        add(`${label} encode`, ours.encode, 'GB/s');
        add(`${label} decode, ${Math.min(k, m)} lost`, ours.decodeAll, 'GB/s');
        add(`${label} decode, 1 lost`, ours.decodeOne, 'GB/s');
        addIsal(add, label, { k, m, cellBytes }, isal, ours, rounds);
      }
    }
  } finally {
    if (isal.available) isal.remove();
  }
  return rows;
}

function addIsal(
  add: (name: string, value: number | null, unit: string) => void,
  label: string,
  geometry: Geometry,
  isal: Isal,
  ours: Figures,
  rounds: number,
): void {
  if (!isal.available) {
    add(`${label} ISA-L`, null, isal.reason);
    return;
  }
  const theirs: IsalFigures = isal.measure(geometry, rounds);
  add(`${label} ISA-L encode`, theirs.encode, 'GB/s');
  add(`${label} ISA-L decode`, theirs.decodeAll, 'GB/s');
  add(`${label} ISA-L decode, 1 lost`, theirs.decodeOne, 'GB/s');
  add(`${label} encode / ISA-L (target 1, 5)`, ours.encode / theirs.encode, 'ratio');
  if (theirs.pq !== null) {
    add(`${label} ISA-L pq_gen`, theirs.pq, 'GB/s');
    add(`${label} encode / pq_gen (target 2)`, ours.encode / theirs.pq, 'ratio');
  }
  add(`${label} decode / ISA-L (target 3, 5)`, ours.decodeAll / theirs.decodeAll, 'ratio');
  add(`${label} decode 1 lost / ISA-L all lost (target 4)`, ours.decodeOne / theirs.decodeAll, 'ratio');
  add(`${label} decode 1 lost / ISA-L 1 lost`, ours.decodeOne / theirs.decodeOne, 'ratio');
}

function measureOurs(geometry: Geometry, rounds: number, roundMs: number): Figures {
  const { k, m, cellBytes } = geometry;
  const n = k + m;
  const shape = { k, n };
  const place = { base: 0, cellBytes };
  // One more cell is where the copies go.
  const codec = wasmCodec((n + 1) * cellBytes);
  for (let i = 0; i < k * cellBytes; i += 1) codec.memory[i] = (Math.imul(i, 0x9e3779b1) >>> 15) & 0xff;
  const all = Array.from({ length: n }, (_, i) => i);
  const lost = all.slice(0, Math.min(k, m));
  const rest = all.slice(lost.length);
  const cases: Record<keyof Figures, () => void> = {
    memcpy: () => {
      for (let j = 0; j < k; j += 1) {
        codec.memory.copyWithin(n * cellBytes, j * cellBytes, (j + 1) * cellBytes);
      }
    },
    encode: () => codec.encode(shape, place),
    decodeAll: () => codec.reconstruct(shape, place, rest, lost),
    decodeOne: () => codec.reconstruct(shape, place, all.slice(1), [0]),
  };
  const data = codec.memory.slice(0, k * cellBytes);
  for (const name of ['encode', 'decodeAll', 'decodeOne'] as const) cases[name]();
  if (!equal(data, codec.memory.subarray(0, data.length))) throw new Error('the codec lost data');

  const names = Object.keys(cases) as (keyof Figures)[];
  for (const name of names) timed(cases[name], WARM_UP_MS);
  const samples = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      const microseconds = timed(cases[name], roundMs);
      samples.get(name)?.push((k * cellBytes) / microseconds / 1e3);
    }
  }
  const median = (name: keyof Figures): number => {
    const sorted = (samples.get(name) ?? []).toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? NaN;
  };
  return {
    memcpy: median('memcpy'),
    encode: median('encode'),
    decodeAll: median('decodeAll'),
    decodeOne: median('decodeOne'),
  };
}

/** Processor time of one call in microseconds, from as many calls as fill `ms`. */
function timed(run: () => void, ms: number): number {
  const start = process.cpuUsage();
  let calls = 0;
  for (;;) {
    for (let i = 0; i < 4; i += 1) run();
    calls += 4;
    const { user, system } = process.cpuUsage(start);
    if (user + system >= ms * 1000) return (user + system) / calls;
  }
}
