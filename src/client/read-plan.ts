/**
 * Which stripes a range of an object is made of (protocol 6.3, 13.3). An object is a run of contents - its
 * own, or those of its parts - and each content a run of stripes; a step is the part of one stripe that was
 * asked for.
 */
import { utf8, concat } from '../base/bytes.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import { aeadKey, hkdf } from '../crypto/primitives.ts';
import type { AeadKey } from '../crypto/primitives.ts';
import type { Geometry } from '../protocol/quorum.ts';
import { decode } from '../protocol/encoding.ts';
import { partTableSchema } from '../protocol/manifest.ts';
import type { Manifest, Part } from '../protocol/manifest.ts';
import { stripePlainBytes } from '../protocol/stripes.ts';
import type { ContentRef } from './fetch.ts';

/** One content of an object. The key is made when its first stripe is read. */
export interface Segment {
  readonly content: ContentRef;
  readonly dataKey: () => Uint8Array;
}

export interface Step {
  readonly content: ContentRef;
  readonly key: AeadKey;
  readonly stripe: number;
  /** The bytes wanted of the stripe's plaintext: `from` up to but not including `to`. */
  readonly from: number;
  readonly to: number;
}

/** The data key of a part: the version's key and the salt of its row (13.3). */
export function partKey(dataKey: Uint8Array, salt: Uint8Array): Uint8Array {
  return hkdf(dataKey, concat(utf8('holdfast/1/part'), salt));
}

/** The one segment of a DATA version. */
export function segmentOf(manifest: Manifest, dataKey: Uint8Array): Segment {
  const { contentId, k, n, cellBytes, size } = manifest;
  return { content: { contentId, table: null, layout: { k, n, cellBytes, size } }, dataKey: () => dataKey };
}

export type OpenedTable =
  | { readonly ok: true; readonly segments: readonly Segment[] }
  | { readonly ok: false; readonly reason: string };

/**
 * Reads a part table, whose hash was checked: what is wrong with it is the writer's doing, the same for every
 * reader.
 */
export function openTable(
  geometry: Geometry,
  manifest: Manifest,
  table: Uint8Array,
  dataKey: Uint8Array,
): OpenedTable {
  const decoded = decode<readonly Part[]>(partTableSchema, table, FRAME_PAYLOAD_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const { n, f } = geometry;
  let size = 0;
  for (const part of decoded.value) {
    if (part.n !== n || part.k > n - 2 * f) return { ok: false, reason: 'a part of another geometry' };
    size += part.size;
  }
  if (size !== manifest.size) return { ok: false, reason: 'the parts do not add up to the size' };
  const segments = decoded.value.map(({ contentId, k, cellBytes, size: partSize, salt }) => ({
    content: { contentId, table, layout: { k, n, cellBytes, size: partSize } },
    dataKey: () => partKey(dataKey, salt),
  }));
  return { ok: true, segments };
}

/**
 * The steps of the bytes from `start` up to but not including `end`, in order; made as they are asked for.
 */
export function* stepsOf(segments: Iterable<Segment>, start: number, end: number): Generator<Step, void> {
  let offset = 0;
  for (const { content, dataKey } of segments) {
    const { size } = content.layout;
    const from = Math.max(start - offset, 0);
    const to = Math.min(end - offset, size);
    offset += size;
    if (from >= to) continue;
    const full = stripePlainBytes(content.layout);
    const key = aeadKey(dataKey());
    for (let stripe = Math.floor(from / full); stripe * full < to; stripe += 1) {
      const first = stripe * full;
      yield { content, key, stripe, from: Math.max(from - first, 0), to: Math.min(to - first, full) };
    }
  }
}

/** The bytes [from, to) of what the pieces hold together, as views. */
export function cut(pieces: readonly Uint8Array[], from: number, to: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let at = 0;
  for (const piece of pieces) {
    const start = Math.max(from - at, 0);
    const end = Math.min(to - at, piece.length);
    at += piece.length;
    if (start < end) out.push(piece.subarray(start, end));
  }
  return out;
}
