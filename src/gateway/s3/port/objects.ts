/** Objects and their versions. */
import type { Checksum } from '../checksums/checksums.ts';
import type { LockMode } from './buckets.ts';
import type {
  ByteSpan,
  CustomerKey,
  IncomingContent,
  OperationId,
  RangeRequest,
  WantedChecksum,
} from './content.ts';
import type {
  ConditionFailed,
  CustomerKeyFault,
  IsDeleteMarker,
  Locked,
  NoSuchBucket,
  NoSuchKey,
  NoSuchVersion,
  Unknown,
} from './outcomes.ts';

/** Headers that come back as they were sent: byte strings, one character a byte. */
export interface ObjectMetadata {
  readonly contentType: string | undefined;
  readonly cacheControl: string | undefined;
  readonly contentDisposition: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly contentLanguage: string | undefined;
  readonly expires: string | undefined;
  readonly websiteRedirect: string | undefined;
  /** Named by the client, though there is one way to seal: given back as it was asked for. */
  readonly sse: 'AES256' | undefined;
  /** x-amz-meta-*: lower-case name without the prefix, then value; in order of arrival, each name once. */
  readonly user: readonly (readonly [name: string, value: string])[];
}

export interface Retention {
  readonly mode: LockMode;
  readonly untilMs: number;
}

export type Tags = readonly (readonly [key: string, value: string])[];

/** What can change about a version without a new one. */
export interface ObjectAttributes {
  readonly tags: Tags;
  /** As the front encodes it; undefined: the owner alone. */
  readonly accessControl: string | undefined;
  readonly retention: Retention | undefined;
  readonly legalHold: boolean;
}

/** Id of the version that a bucket without versioning keeps, and the text for it in requests. */
export const NULL_VERSION = 'null';

export interface ObjectInfo {
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  /** Canonical id of the account that wrote it. */
  readonly owner: string;
  readonly metadata: ObjectMetadata;
  readonly checksum: Checksum | undefined;
  readonly attributes: ObjectAttributes;
  /** Undefined while the bucket has never kept versions. */
  readonly versionId: string | undefined;
  /** Parts of a multipart object; 0 for any other. */
  readonly partCount: number;
  /** SSE-C: the MD5 of the customer's key, in base64. */
  readonly customerKeyMd5: string | undefined;
}

export interface VersionAddress {
  readonly bucket: string;
  readonly key: string;
  /** Undefined: the newest version. */
  readonly versionId: string | undefined;
}

/** Entity tags without quotes; `*`: any version that is no delete marker. */
export interface WriteCondition {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
  readonly ifLastModifiedMs?: number;
  readonly ifSize?: number;
}

/** What a new version is made of besides its content. */
export interface NewVersion {
  readonly bucket: string;
  readonly key: string;
  readonly owner: string;
  readonly metadata: ObjectMetadata;
  /** Retention undefined: the bucket's default, if it has one. */
  readonly attributes: ObjectAttributes;
  readonly customerKey: CustomerKey | undefined;
  readonly condition: WriteCondition | undefined;
  readonly operation: OperationId;
}

export interface PutObject extends NewVersion {
  readonly content: IncomingContent;
}

/** `etag` and `checksum` are those of the version committed: of an earlier request when this one repeats it. */
export interface Stored {
  readonly outcome: 'stored';
  readonly etag: string;
  readonly checksum: Checksum | undefined;
  readonly versionId: string | undefined;
  readonly lastModifiedMs: number;
}

/** `lock-disabled`: retention or a hold was asked for in a bucket without object lock. */
export type PutObjectResult =
  | Stored
  | { readonly outcome: 'lock-disabled' }
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | Unknown;

/** A copy moves no data where the same seal will do: a new version over the same cells (13.3). */
export interface CopyObject extends Omit<NewVersion, 'metadata' | 'attributes'> {
  readonly source: VersionAddress;
  /** Entity tag that the front has checked the source's conditions against. */
  readonly sourceEtag: string;
  readonly sourceCustomerKey: CustomerKey | undefined;
  /** Undefined: those of the source. */
  readonly metadata: ObjectMetadata | undefined;
  /** `tags` undefined: those of the source. */
  readonly attributes: Omit<ObjectAttributes, 'tags'> & { readonly tags: Tags | undefined };
  readonly checksum: WantedChecksum;
}

/** `source-changed`: it is not the version with `sourceEtag` any more. */
export type CopyObjectResult =
  | (Stored & { readonly sourceVersionId: string | undefined })
  | { readonly outcome: 'lock-disabled' | 'source-changed' | 'no-such-source' }
  | CustomerKeyFault
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | Unknown;

export interface GetObject extends VersionAddress {
  readonly range: RangeRequest | undefined;
  readonly customerKey: CustomerKey | undefined;
}

/** One version, pinned: `read` yields bytes of exactly the version that `info` describes. */
export interface OpenObject {
  readonly outcome: 'found';
  readonly info: ObjectInfo;
  /**
   * At most once. Every byte is verified before it is yielded; the iteration rejects when it cannot go on,
   * and ends early work when it is returned. An object not read holds nothing after `close`.
   */
  read(span: ByteSpan): AsyncIterable<Uint8Array>;
  close(): void;
}

export type Missing = NoSuchBucket | NoSuchKey | NoSuchVersion | IsDeleteMarker;

export type GetObjectResult = OpenObject | CustomerKeyFault | Missing;
/** Needs no customer's key: that is for the front to demand. */
export type HeadObjectResult = { readonly outcome: 'found'; readonly info: ObjectInfo } | Missing;

/** A part of a finished multipart object, in their order; `number` is the one it was uploaded under. */
export interface ObjectPart {
  readonly number: number;
  readonly size: number;
  readonly checksum: Checksum | undefined;
}

export type ObjectPartsResult =
  | { readonly outcome: 'found'; readonly info: ObjectInfo; readonly parts: readonly ObjectPart[] }
  | Missing;

export interface DeleteObject extends VersionAddress {
  readonly owner: string;
  readonly condition: WriteCondition | undefined;
  /** The caller may, and asked to, bypass GOVERNANCE. */
  readonly bypassGovernance: boolean;
  readonly operation: OperationId;
}

/**
 * Deleting what does not exist is a success too. Without a version id in a bucket that keeps versions: a
 * delete marker was laid on top, and `versionId` is its own. With one: that version is gone.
 */
export type DeleteObjectResult =
  | {
      readonly outcome: 'deleted';
      readonly versionId: string | undefined;
      readonly isDeleteMarker: boolean;
    }
  | Locked
  | ConditionFailed
  | NoSuchBucket
  | NoSuchKey
  | Unknown;

export type AttributesChange =
  | { readonly kind: 'tags'; readonly tags: Tags }
  | { readonly kind: 'accessControl'; readonly accessControl: string | undefined }
  | {
      readonly kind: 'retention';
      readonly retention: Retention | undefined;
      readonly bypassGovernance: boolean;
    }
  | { readonly kind: 'legalHold'; readonly legalHold: boolean };

export interface ChangeAttributes extends VersionAddress {
  readonly change: AttributesChange;
  readonly operation: OperationId;
}

/** `versionId` is that of the version changed. */
export type ChangeAttributesResult =
  | { readonly outcome: 'changed'; readonly versionId: string | undefined }
  | { readonly outcome: 'lock-disabled' }
  | Locked
  | Missing
  | Unknown;
