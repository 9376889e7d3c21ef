/**
 * How bytes become stripes (protocol 4.1, 13.4), by arithmetic alone: so that writer, node and reader agree
 * on the length of every cell without being told. A stripe is k data cells of sealed bytes; sealing adds a
 * tag of 16 bytes a stripe; only the last stripe is shorter, its cells rounded up to 64 bytes.
 */
import { assert } from '../base/assert.ts';
import { CELL_ALIGN_BYTES } from '../base/limits.ts';
import { AEAD_TAG_BYTES } from '../crypto/primitives.ts';

export interface Layout {
  readonly k: number;
  readonly n: number;
  /** Bytes of one full cell. */
  readonly cellBytes: number;
  /** Plaintext bytes of the whole content. */
  readonly size: number;
}

/** Plaintext bytes of a full stripe. */
export function stripePlainBytes(layout: Pick<Layout, 'k' | 'cellBytes'>): number {
  return layout.k * layout.cellBytes - AEAD_TAG_BYTES;
}

export function stripeCount(layout: Layout): number {
  return Math.ceil(layout.size / stripePlainBytes(layout));
}

/** Plaintext bytes of stripe `index`. */
export function plainBytesOf(layout: Layout, index: number): number {
  const full = stripePlainBytes(layout);
  const count = stripeCount(layout);
  assert(index >= 0 && index < count, 'stripe index within the content');
  return index < count - 1 ? full : layout.size - full * (count - 1);
}

/** Bytes of each of the n cells of stripe `index`. */
export function cellBytesOf(layout: Layout, index: number): number {
  const sealed = plainBytesOf(layout, index) + AEAD_TAG_BYTES;
  const cell = Math.ceil(sealed / layout.k);
  return Math.ceil(cell / CELL_ALIGN_BYTES) * CELL_ALIGN_BYTES;
}

/** Bytes of one slot's fragment: all of its cells. */
export function fragmentBytes(layout: Layout): number {
  const count = stripeCount(layout);
  return count === 0 ? 0 : (count - 1) * layout.cellBytes + cellBytesOf(layout, count - 1);
}

/** Associated data of a stripe's seal: suite, stripe index, last; never key or bucket, so that contents can be shared (13.3). */
export function stripeAssociated(suite: number, index: number, last: boolean): Uint8Array {
  const out = new Uint8Array(10);
  const view = new DataView(out.buffer);
  view.setUint8(0, suite);
  view.setBigUint64(1, BigInt(index));
  view.setUint8(9, last ? 1 : 0);
  return out;
}

/** Nonce of a stripe's seal: its index; the data key seals one content only. */
export function stripeNonce(index: number): Uint8Array {
  const out = new Uint8Array(12);
  new DataView(out.buffer).setBigUint64(4, BigInt(index));
  return out;
}
