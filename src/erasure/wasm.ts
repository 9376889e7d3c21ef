/**
 * The erasure code in WebAssembly SIMD: the codec that runs (performance.md B). What is to be computed -
 * which cells from which - is compiled once into a module of a few kilobytes (kernels.ts) and kept; a stripe
 * then costs one call. Modules are kept in a bounded cache, least recently used out first, because the
 * pattern of missing cells is chosen by whoever fails.
 */
import { assert } from '../base/assert.ts';
import { listCells, requirePlace, selectCells } from './codec.ts';
import type { Codec, Reconstruction } from './codec.ts';
import { hornerDecodeModule, hornerEncodeModule, matrixModule } from './kernels.ts';
import { VANDERMONDE_PARITY_MAX, isVandermonde } from './matrix.ts';
import type { CodeShape } from './matrix.ts';
import { recoveryRows } from './reference.ts';

const PAGE_BYTES = 65_536;
/** Offsets are 32-bit; well below the 4 GiB of a memory. */
const MEMORY_BYTES_MAX = 2 ** 31;
/**
 * Vandermonde rows beyond these, which only replication (k = 1) has, are copies: the matrix kernel does them.
 */
const HORNER_ROWS_MAX = VANDERMONDE_PARITY_MAX;
/** Compiled kernels kept: every pattern of up to two missing cells at n = 16 with room to spare. */
export const KERNELS_MAX = 256;

/** What is used of the WebAssembly JavaScript interface, whose types come with the browser's library only. */
interface WasmMemory {
  readonly buffer: ArrayBuffer;
}
declare const WebAssembly: {
  readonly Memory: new (pages: { initial: number; maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: WasmMemory } },
  ) => { readonly exports: Readonly<Record<string, unknown>> };
};

type Run = (base: number, cellBytes: number) => void;

/** `kernelsMax` bounds the compiled kernels that are kept. */
export function wasmCodec(memoryBytes: number, kernelsMax: number = KERNELS_MAX): Codec {
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < 1 || memoryBytes > MEMORY_BYTES_MAX) {
    throw new RangeError(`${memoryBytes} bytes are not a memory size`);
  }
  const pages = Math.ceil(memoryBytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const bytes = new Uint8Array(memory.buffer, 0, memoryBytes);
  const kernels = new Map<string, Run>();

  const kernel = (key: string, emit: () => Uint8Array): Run => {
    let run = kernels.get(key);
    if (run === undefined) run = compile(emit(), memory);
    else kernels.delete(key);
    kernels.set(key, run);
    for (const oldest of kernels.keys()) {
      if (kernels.size <= kernelsMax) break;
      kernels.delete(oldest);
    }
    return run;
  };

  return {
    name: 'wasm',
    memory: bytes,
    encode(shape, place) {
      requirePlace(shape, place, memoryBytes);
      if (shape.n === shape.k) return;
      const run = kernel(`${shape.k}/${shape.n}`, () => encodeModule(shape));
      run(place.base, place.cellBytes);
    },
    reconstruct(shape, place, have, want) {
      requirePlace(shape, place, memoryBytes);
      const sets = selectCells(shape, have, want);
      if (sets.targets === 0) return;
      const key = `${shape.k}/${shape.n}:${sets.sources}>${sets.targets}`;
      const run = kernel(key, () => reconstructModule(shape, listCells(shape, sets)));
      run(place.base, place.cellBytes);
    },
  };
}

function compile(module: Uint8Array, memory: WasmMemory): Run {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory } });
  const run = instance.exports['run'];
  assert(typeof run === 'function', 'a kernel exports run');
  return run as Run;
}

function encodeModule(shape: CodeShape): Uint8Array {
  const { k, n } = shape;
  const data = Array.from({ length: k }, (_, j) => j);
  const parity = Array.from({ length: n - k }, (_, r) => k + r);
  return reconstructModule(shape, { sources: data, targets: parity });
}

/** Chooses the cheapest kernel: Horner where the rows allow it, otherwise a general matrix product. */
function reconstructModule(shape: CodeShape, { sources, targets }: Reconstruction): Uint8Array {
  const { k, n } = shape;
  const data = sources.filter((index) => index < k);
  // A single row of ones serves every matrix; the first parity row always is one.
  const rowsOf = (cells: readonly number[]): number[] => cells.map((index) => index - k);
  const horner = (rows: readonly number[]): boolean =>
    (isVandermonde(k, n - k) && n - k <= HORNER_ROWS_MAX) || (rows.length === 1 && rows[0] === 0);
  const parity = rowsOf(sources.filter((index) => index >= k));
  if (data.length === k) {
    const rows = rowsOf(targets);
    if (horner(rows)) return hornerEncodeModule({ k, rows });
  } else if (targets.every((index) => index < k) && horner(parity)) {
    const lost = Array.from({ length: k }, (_, j) => j).filter((j) => !data.includes(j));
    return hornerDecodeModule({ k, lost, rows: parity, targets });
  }
  return matrixModule({ sources, targets, matrix: recoveryRows(shape, sources, targets) });
}
