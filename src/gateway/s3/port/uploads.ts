/** Multipart uploads. */
import type { Checksum } from '../checksums/checksums.ts';
import type { ByteSpan, CustomerKey, IncomingContent, OperationId, UploadChecksum, WantedChecksum } from './content.ts';
import type {
  NewVersion,
  ObjectAttributes,
  ObjectMetadata,
  Stored,
  VersionAddress,
  WriteCondition,
} from './objects.ts';
import type {
  ConditionFailed,
  CustomerKeyFault,
  NoSuchBucket,
  NoSuchKey,
  NoSuchUpload,
  QuotaExceeded,
  Unknown,
} from './outcomes.ts';

export interface UploadInfo {
  readonly owner: string;
  readonly metadata: ObjectMetadata;
  readonly attributes: ObjectAttributes;
  readonly createdMs: number;
  /** Undefined: the client named none; then each part has the one that it came with. */
  readonly checksum: UploadChecksum | undefined;
  readonly customerKeyMd5: string | undefined;
}

export interface PartInfo {
  /** 1 to 10,000. */
  readonly number: number;
  readonly size: number;
  readonly etag: string;
  readonly checksum: Checksum | undefined;
  readonly lastModifiedMs: number;
}

export interface UploadAddress {
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
}

/** The conditions of the version are those that the completion carries. */
export interface CreateUpload extends Omit<NewVersion, 'condition'> {
  readonly checksum: UploadInfo['checksum'];
}

export type CreateUploadResult =
  | { readonly outcome: 'created'; readonly uploadId: string }
  | { readonly outcome: 'lock-disabled' }
  | QuotaExceeded
  | NoSuchBucket
  | Unknown;

export interface UploadPart extends UploadAddress {
  readonly number: number;
  readonly content: IncomingContent;
  readonly customerKey: CustomerKey | undefined;
  readonly operation: OperationId;
}

/** A part cut out of a stored object. `span` undefined: all of it. */
export interface CopyPart extends UploadAddress {
  readonly number: number;
  readonly source: VersionAddress;
  readonly sourceEtag: string;
  readonly span: ByteSpan | undefined;
  readonly checksum: WantedChecksum;
  readonly customerKey: CustomerKey | undefined;
  readonly sourceCustomerKey: CustomerKey | undefined;
  readonly operation: OperationId;
}

export type StoredPart = Omit<Stored, 'versionId'>;

export type UploadPartResult =
  | StoredPart
  | CustomerKeyFault
  | NoSuchBucket
  | NoSuchUpload
  | QuotaExceeded
  | Unknown;
export type CopyPartResult =
  | (StoredPart & { readonly sourceVersionId: string | undefined })
  | { readonly outcome: 'source-changed' | 'no-such-source' }
  | CustomerKeyFault
  | NoSuchBucket
  | NoSuchUpload
  | QuotaExceeded
  | Unknown;

/** `parts`: only so many of those above a number, so that what wants few costs little; all when left out. */
export interface ReadUpload extends UploadAddress {
  readonly parts?: { readonly above: number; readonly limit: number };
}

export type ReadUploadResult =
  | { readonly outcome: 'found'; readonly upload: UploadInfo; readonly parts: readonly PartInfo[] }
  | NoSuchBucket
  | NoSuchUpload;

/** The parts are those just read; the store refuses ('changed') when one of them was replaced meanwhile. */
export interface CompleteUpload extends UploadAddress {
  readonly parts: readonly PartInfo[];
  readonly etag: string;
  readonly checksum: Checksum | undefined;
  readonly condition: WriteCondition | undefined;
  readonly operation: OperationId;
}

export type CompleteUploadResult =
  | Stored
  | { readonly outcome: 'changed' }
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | NoSuchUpload
  | Unknown;

export type AbortUploadResult = { readonly outcome: 'aborted' } | NoSuchBucket | NoSuchUpload | Unknown;
