/** Bytes on their way into and out of the store. */
import type { Checksum, ChecksumAlgorithm } from '../checksums/checksums.ts';

/** What identifies a request that a client sends again after a cut connection (13.11). */
export interface OperationId {
  /** 32 bytes. */
  readonly id: Uint8Array;
  /** Derived from the client's invocation id, so a second request may bear it; otherwise random. */
  readonly repeatable: boolean;
}

/** The checksum that a multipart upload was created with. */
export type UploadChecksum = Pick<Checksum, 'algorithm' | 'type'>;

/** A body under way from the client. `seal` answers after `bytes` ended normally, and not before. */
export interface IncomingContent {
  /** Exactly how many bytes will come; the iteration rejects when it were more or fewer. */
  readonly size: number;
  readonly bytes: AsyncIterable<Uint8Array>;
  /**
   * For a part, before its first byte is asked for: the checksum that its upload was created with, if it names
   * one. Throws the client's refusal when the part came with another one or lacks what it must bring. A
   * content that no client announced has nothing to agree on.
   */
  readonly agree?: (upload: UploadChecksum | undefined) => void;
  /** Asserts that the iteration ended normally. */
  readonly seal: () => ContentSeal;
}

export interface ContentSeal {
  /** MD5 of the content in hex: the ETag without quotes. */
  readonly etag: string;
  /** The checksum that the client sent and we verified, or that we computed in its place. */
  readonly checksum: Checksum | undefined;
}

/** Bytes `from` up to but not including `to`; `from <= to <= size`. */
export interface ByteSpan {
  readonly from: number;
  readonly to: number;
}

/** What the client asked for, before the size is known: a hint for what to fetch first. */
export type RangeRequest =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly bytes: number };

/** A key that the client gives with each request and nobody keeps (SSE-C): AES-256. */
export interface CustomerKey {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** MD5 of the key in base64, as the headers say it; checked by the front. */
  readonly md5: string;
}

/** The checksum that a content is to be given when its client sends none. */
export type WantedChecksum = ChecksumAlgorithm | undefined;
