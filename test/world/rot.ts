/** Rot on a simulated disk: the places where some bytes are stored, and the damage done there. */
import type { FaultyDisk } from '../../src/sim/faulty-disk.ts';

/** Flips one bit in each copy of `bytes` in the cell segments; returns how many copies there were. */
export async function rot(disk: FaultyDisk, bytes: Uint8Array, at: number = 0): Promise<number> {
  let copies = 0;
  for (const name of await disk.list('journal')) {
    if (!name.startsWith('cells-')) continue;
    const path = `journal/${name}`;
    const segment = Buffer.from(await disk.readFile(path, Number.MAX_SAFE_INTEGER));
    for (let found = segment.indexOf(bytes); found !== -1; found = segment.indexOf(bytes, found + 1)) {
      disk.flip(path, found + at);
      copies += 1;
    }
  }
  return copies;
}
