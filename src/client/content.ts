/**
 * The content of a write before its manifest (protocol 13.4): brought into the form in which nodes keep it
 * and, when it is large, sent ahead. Small contents are sealed whole and stand beside the manifest; others
 * become cells; a part table names contents that are stored already.
 */
import { EMPTY } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { CELL_BYTES_DEFAULT, FRAME_PAYLOAD_BYTES_MAX, INLINE_BYTES_MAX } from '../base/limits.ts';
import { AEAD_TAG_BYTES, aeadKey, aeadSealInto, HASH_BYTES, sha256 } from '../crypto/primitives.ts';
import { encode } from '../protocol/encoding.ts';
import { SUITE_1 } from '../protocol/manifest.ts';
import type { ManifestKind, Part } from '../protocol/manifest.ts';
import { stripeAssociated, stripeCount, stripeNonce } from '../protocol/stripes.ts';
import type { Layout } from '../protocol/stripes.ts';
import { Chunks } from './chunks.ts';
import type { ClientContext } from './context.ts';
import { NO_CONTENT } from './prepare.ts';
import type { SlotContent } from './prepare.ts';
import { codeSingleStripe, unlessAborted, uploadStripes } from './upload.ts';

export type WriteContent =
  | {
      readonly kind: 'bytes';
      /** Exactly as many bytes as `body` holds. */
      readonly size: number;
      readonly body: AsyncIterable<Uint8Array>;
      /** 32 bytes, drawn for this content alone: the nonces of its stripes are their indices. */
      readonly dataKey: Uint8Array;
      readonly wrappedKey: Uint8Array;
      /**
       * Called once after the last byte, before anything is prepared: gives the sealed metadata, or throws to
       * withdraw.
       */
      readonly finish: () => Promise<Uint8Array>;
      /**
       * Keep the content as cells even where it is small, as a part of another object must be. Needs size >
       * 0.
       */
      readonly forceCells?: boolean;
    }
  | {
      readonly kind: 'table';
      /** Sum of the sizes of the parts. */
      readonly size: number;
      /** Contents that certified versions of this bucket hold. */
      readonly parts: readonly Part[];
      readonly wrappedKey: Uint8Array;
      readonly encMeta: Uint8Array;
    }
  | {
      /** Cells that nodes hold already, under the same data key (13.3). NOT_HELD when too few do. */
      readonly kind: 'copy';
      readonly contentId: Uint8Array;
      readonly k: number;
      readonly cellBytes: number;
      readonly size: number;
      readonly wrappedKey: Uint8Array;
      readonly encMeta: Uint8Array;
    }
  /** Without content. A tombstone is a version; what removes only names others that go (13.6). */
  | { readonly kind: 'tombstone' | 'remove'; readonly wrappedKey: Uint8Array; readonly encMeta: Uint8Array };

/** What the manifest says of the content, and what each slot is sent with PREPARE. */
export interface PlacedContent {
  readonly kind: ManifestKind;
  readonly k: number;
  readonly size: number;
  readonly cellBytes: number;
  readonly contentId: Uint8Array;
  readonly wrappedKey: Uint8Array;
  readonly encMeta: () => Promise<Uint8Array>;
  /** May be asked again for a later attempt: the same upload serves it. */
  readonly contentOf: (slot: number) => Promise<SlotContent | null>;
  /** The sealed body of an INLINE version, for nodes that did not prepare it. */
  readonly inline: Uint8Array | null;
}

/** The sealed body of an INLINE version: one stripe that is not coded. */
export function sealInline(dataKey: Uint8Array, plain: readonly Uint8Array[]): Uint8Array {
  const size = plain.reduce((sum, piece) => sum + piece.length, 0);
  const out = new Uint8Array(size + AEAD_TAG_BYTES);
  aeadSealInto(aeadKey(dataKey), stripeNonce(0), stripeAssociated(SUITE_1, 0, true), plain, out);
  return out;
}

/**
 * Brings the content to the nodes as far as that needs no manifest. Throws as `uploadStripes`, or what the
 * source throws.
 */
export async function placeContent(
  ctx: ClientContext,
  k: number,
  content: WriteContent,
  signal: AbortSignal,
): Promise<PlacedContent> {
  switch (content.kind) {
    case 'bytes':
      return placeBytes(ctx, k, content, signal);
    case 'table': {
      const table = encode(content.parts);
      if (table.length > FRAME_PAYLOAD_BYTES_MAX) {
        throw new OperationError('TOO_LARGE', 'The part table does not fit one frame.');
      }
      return {
        kind: 'TABLE',
        k,
        size: content.size,
        cellBytes: 0,
        contentId: sha256(table),
        wrappedKey: content.wrappedKey,
        encMeta: () => Promise.resolve(content.encMeta),
        contentOf: () => Promise.resolve({ upload: null, row: null, payload: table }),
        inline: null,
      };
    }
    case 'copy':
      return {
        kind: 'DATA',
        k: content.k,
        size: content.size,
        cellBytes: content.cellBytes,
        contentId: content.contentId,
        wrappedKey: content.wrappedKey,
        encMeta: () => Promise.resolve(content.encMeta),
        contentOf: () => Promise.resolve(NO_CONTENT),
        inline: null,
      };
    case 'tombstone':
    case 'remove':
      return {
        kind: content.kind === 'tombstone' ? 'TOMBSTONE' : 'REMOVE',
        k: 1,
        size: 0,
        cellBytes: 0,
        contentId: new Uint8Array(HASH_BYTES),
        wrappedKey: content.wrappedKey,
        encMeta: () => Promise.resolve(content.encMeta),
        contentOf: () => Promise.resolve(NO_CONTENT),
        inline: null,
      };
  }
}

async function placeBytes(
  ctx: ClientContext,
  k: number,
  content: Extract<WriteContent, { kind: 'bytes' }>,
  signal: AbortSignal,
): Promise<PlacedContent> {
  const chunks = new Chunks(content.body);
  try {
    return await placeChunks(ctx, k, content, chunks, signal);
  } catch (error) {
    // Not awaited: a source that waits for a slow client would hold the answer back.
    void chunks.cancel();
    throw error;
  }
}

async function placeChunks(
  ctx: ClientContext,
  k: number,
  content: Extract<WriteContent, { kind: 'bytes' }>,
  chunks: Chunks,
  signal: AbortSignal,
): Promise<PlacedContent> {
  const { size, dataKey, wrappedKey, finish: encMeta } = content;
  const common = { size, wrappedKey, encMeta };
  const isInline = size + AEAD_TAG_BYTES <= INLINE_BYTES_MAX && content.forceCells !== true;
  const layout: Layout = { k, n: ctx.cluster.geometry.n, cellBytes: CELL_BYTES_DEFAULT, size };
  if (isInline || stripeCount(layout) <= 1) {
    const plain = await unlessAborted(chunks.take(size), signal);
    await unlessAborted(chunks.end(), signal);
    if (isInline) {
      const inline = sealInline(dataKey, plain);
      const share: SlotContent = { upload: null, row: null, payload: inline };
      const contentOf = (): Promise<SlotContent> => Promise.resolve(share);
      return { ...common, kind: 'INLINE', k: 1, cellBytes: 0, contentId: sha256(inline), contentOf, inline };
    }
    const { cells, row, contentId } = await codeSingleStripe(ctx, layout, aeadKey(dataKey), plain);
    const contentOf = (slot: number): Promise<SlotContent> =>
      Promise.resolve({ upload: null, row, payload: cells[slot] ?? EMPTY });
    return { ...common, kind: 'DATA', k, cellBytes: layout.cellBytes, contentId, contentOf, inline: null };
  }
  const uploaded = await uploadStripes(ctx, layout, dataKey, chunks, signal);
  const contentOf = async (slot: number): Promise<SlotContent | null> =>
    (await uploaded.has(slot)) ? { upload: uploaded.id, row: null, payload: EMPTY } : null;
  const { contentId } = uploaded;
  return { ...common, kind: 'DATA', k, cellBytes: layout.cellBytes, contentId, contentOf, inline: null };
}
