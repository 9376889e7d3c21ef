/** A bucket read in order. */
import type { Checksum } from '../checksums/checksums.ts';

export interface ListRow {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly owner: string;
  readonly checksum: Pick<Checksum, 'algorithm' | 'type'> | undefined;
}

/** One version or delete marker. */
export interface VersionRow extends ListRow {
  readonly versionId: string;
  readonly isLatest: boolean;
  /** Then size is 0, and etag empty. */
  readonly isDeleteMarker: boolean;
}

export interface UploadRow {
  readonly key: string;
  readonly uploadId: string;
  readonly createdMs: number;
  readonly owner: string;
  readonly checksum: Pick<Checksum, 'algorithm' | 'type'> | undefined;
}

/** A view of a bucket behind one barrier (6.6): it holds every write acknowledged before it was opened. */
export interface Listing {
  readonly outcome: 'listing';
  /**
   * Newest versions with `from <= key < below` (UTF-8 bytes, in their order), delete markers left out, at
   * most `limit`; fewer only at the end.
   */
  rows(from: Uint8Array, below: Uint8Array | undefined, limit: number): Promise<readonly ListRow[]>;
  /**
   * All versions, of each key the newest first. `after`: of the key `from` itself only what is older than
   * this version; that need not exist any more.
   */
  versions(
    from: Uint8Array,
    after: string | undefined,
    below: Uint8Array | undefined,
    limit: number,
  ): Promise<readonly VersionRow[]>;
  /** Unfinished uploads by key, then upload id. `after`: of the key `from` only uploads above this id. */
  uploads(
    from: Uint8Array,
    after: string | undefined,
    below: Uint8Array | undefined,
    limit: number,
  ): Promise<readonly UploadRow[]>;
}
