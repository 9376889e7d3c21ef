/**
 * One stripe between plaintext and cells (protocol 4.1): sealed into a workspace, coded, hashed into its row;
 * and back from any k verified cells. A workspace is held for the computation alone, never while the network
 * is waited for, so a few of them serve all uploads and reads of a process.
 */
import { assert } from '../base/assert.ts';
import { equal } from '../base/bytes.ts';
import { AEAD_TAG_BYTES, aeadOpen, aeadSealInto, HASH_BYTES, sha256 } from '../crypto/primitives.ts';
import type { AeadKey } from '../crypto/primitives.ts';
import type { WorkspacePool } from '../erasure/workspace.ts';
import { cellBytesOf, plainBytesOf, stripeCount } from '../protocol/stripes.ts';
import { stripeAssociated, stripeNonce } from '../protocol/stripes.ts';
import type { Layout } from '../protocol/stripes.ts';

export interface CodedStripe {
  /** n cells, in the order of the slots; fresh memory, to be handed on. */
  readonly cells: readonly Uint8Array[];
  /** V[s]: the hashes of the cells. */
  readonly row: Uint8Array;
}

function isLast(layout: Layout, index: number): boolean {
  return index === stripeCount(layout) - 1;
}

/**
 * Seals the plaintext of stripe `index`, given in pieces, and codes it. The data key must seal this content
 * only.
 */
export async function codeStripe(
  workspaces: WorkspacePool,
  layout: Layout,
  key: AeadKey,
  suite: number,
  index: number,
  plain: readonly Uint8Array[],
): Promise<CodedStripe> {
  const { n } = layout;
  const cellBytes = cellBytesOf(layout, index);
  const sealedBytes = plainBytesOf(layout, index) + AEAD_TAG_BYTES;
  const plainBytes = plain.reduce((sum, piece) => sum + piece.length, 0);
  assert(plainBytes === plainBytesOf(layout, index), 'a stripe is filled');
  const workspace = await workspaces.acquire(layout, cellBytes);
  try {
    const associated = stripeAssociated(suite, index, isLast(layout, index));
    aeadSealInto(key, stripeNonce(index), associated, plain, workspace.area.subarray(0, sealedBytes));
    workspace.encode(sealedBytes);
    // Copies: a receiver may keep what it is sent, and the workspace is used again at once.
    const all = new Uint8Array(n * cellBytes);
    const row = new Uint8Array(n * HASH_BYTES);
    const cells = Array.from({ length: n }, (_, slot) => {
      all.set(workspace.cell(slot), slot * cellBytes);
      const cell = all.subarray(slot * cellBytes, (slot + 1) * cellBytes);
      row.set(sha256(cell), slot * HASH_BYTES);
      return cell;
    });
    return { cells, row };
  } finally {
    workspace.release();
  }
}

export type OpenedStripe =
  | { readonly ok: true; readonly plain: readonly Uint8Array[] }
  /**
   * encoding: the row is no codeword's (E8), the same verdict for every reader. seal: the data key does not
   * open it.
   */
  | { readonly ok: false; readonly fault: 'encoding' | 'seal' };

/**
 * The plaintext of stripe `index` from k cells that were verified against `row`. With `check`, all n cells
 * are computed again and compared with the row, so that every reader reaches the same verdict whichever cells
 * it got (I6).
 */
export async function openStripe(
  workspaces: WorkspacePool,
  layout: Layout,
  key: AeadKey,
  suite: number,
  index: number,
  cells: ReadonlyMap<number, Uint8Array>,
  row: Uint8Array,
  check: boolean,
): Promise<OpenedStripe> {
  assert(cells.size === layout.k, 'k cells decode; a further one would not be checked');
  const workspace = await workspaces.acquire(layout, cellBytesOf(layout, index));
  try {
    for (const [slot, cell] of cells) workspace.put(slot, cell);
    if (check) {
      workspace.complete();
      for (let slot = 0; slot < layout.n; slot += 1) {
        if (cells.has(slot)) continue;
        if (!equal(sha256(workspace.cell(slot)), hashAt(row, slot))) return { ok: false, fault: 'encoding' };
      }
    } else {
      workspace.decode();
    }
    const sealed = workspace.data().subarray(0, plainBytesOf(layout, index) + AEAD_TAG_BYTES);
    const associated = stripeAssociated(suite, index, isLast(layout, index));
    const plain = aeadOpen(key, stripeNonce(index), associated, [sealed]);
    return plain === null ? { ok: false, fault: 'seal' } : { ok: true, plain };
  } finally {
    workspace.release();
  }
}

/** All n cells of stripe `index` from k that were verified against `row`; null when the row is no codeword's. */
export async function recodeStripe(
  workspaces: WorkspacePool,
  layout: Layout,
  index: number,
  cells: ReadonlyMap<number, Uint8Array>,
  row: Uint8Array,
): Promise<CodedStripe | null> {
  const workspace = await workspaces.acquire(layout, cellBytesOf(layout, index));
  try {
    for (const [slot, cell] of cells) workspace.put(slot, cell);
    workspace.complete();
    const all = Array.from({ length: layout.n }, (_, slot) => Uint8Array.from(workspace.cell(slot)));
    return all.every((cell, slot) => equal(sha256(cell), hashAt(row, slot))) ? { cells: all, row } : null;
  } finally {
    workspace.release();
  }
}

/** The hash of one slot's cell in a row. */
export function hashAt(row: Uint8Array, slot: number): Uint8Array {
  return row.subarray(slot * HASH_BYTES, (slot + 1) * HASH_BYTES);
}
