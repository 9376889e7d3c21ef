/** Workspaces keep their contract over both codecs, and hold the same cells. */
import { expect, test } from 'vitest';
import type { CodecFactory } from './codec.ts';
import { referenceCodec } from './reference.ts';
import { wasmCodec } from './wasm.ts';
import { workspaceContract } from './workspace.contract.ts';
import { WorkspacePool } from './workspace.ts';

workspaceContract('reference', referenceCodec);
workspaceContract('wasm', wasmCodec);

test('a stripe has the same cells whichever codec is behind it', () => {
  const cellsBy = (create: CodecFactory): Uint8Array[] => {
    const pool = new WorkspacePool(create, { workspaceCount: 1, cellCountMax: 6, cellBytesMax: 128 });
    using workspace = pool.tryAcquire({ k: 4, n: 6 }, 128);
    workspace?.area.set(Uint8Array.from({ length: 500 }, (_, i) => (i * 31 + 3) & 0xff));
    workspace?.encode(500);
    return Array.from({ length: 6 }, (_, index) => workspace?.cell(index).slice() ?? new Uint8Array(0));
  };
  const cells = cellsBy(referenceCodec);
  expect(cells.map((cell) => cell.length)).toEqual([128, 128, 128, 128, 128, 128]);
  expect(cellsBy(wasmCodec)).toEqual(cells);
});
