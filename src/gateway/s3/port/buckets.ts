/** Buckets as the front sees them: what storage nodes enforce, and documents that the front alone reads. */
import type { NoSuchBucket, Unknown } from './outcomes.ts';
import type { OperationId } from './content.ts';

export type Versioning = 'never' | 'enabled' | 'suspended';

export type LockMode = 'GOVERNANCE' | 'COMPLIANCE';

/** Retention that new versions get when their request names none. */
export interface DefaultRetention {
  readonly mode: LockMode;
  readonly period: { readonly unit: 'days' | 'years'; readonly count: number };
}

/**
 * Documents about a bucket, each as its feature encoded it. The store keeps them sealed, all of one bucket
 * together in at most CONFIGURATION_BYTES_MAX, and does not look inside. What one gateway has changed every
 * other one sees within CONFIGURATION_FRESH_MS.
 */
export type DocumentName =
  | 'accessControl'
  | 'cors'
  | 'encryption'
  | 'lifecycle'
  | 'logging'
  | 'notification'
  | 'ownership'
  | 'policy'
  | 'publicAccessBlock'
  | 'requestPayment'
  | 'tagging'
  | 'website';
export type Documents = Readonly<Partial<Record<DocumentName, string>>>;

export const CONFIGURATION_BYTES_MAX: number = 1024 * 1024;
export const CONFIGURATION_FRESH_MS = 2_000;

export interface BucketInfo {
  readonly name: string;
  readonly createdMs: number;
  /** Canonical id of the account that made it. */
  readonly owner: string;
}

export interface BucketState extends BucketInfo {
  readonly versioning: Versioning;
  /** Object lock was asked for when the bucket was made, or later; it never ends. */
  readonly lockEnabled: boolean;
  readonly defaultRetention: DefaultRetention | undefined;
  /** Are writes serialised, so that conditions can be decided (13.7)? */
  readonly serialised: boolean;
  readonly documents: Documents;
}

export interface CreateBucket {
  readonly bucket: string;
  readonly owner: string;
  /** Implies versioning. */
  readonly lockEnabled: boolean;
  readonly serialised: boolean;
  readonly documents: Documents;
  readonly operation: OperationId;
}

/** `taken`: the bucket belongs to another account. */
export type CreateBucketResult =
  | { readonly outcome: 'created' | 'owned-by-you' | 'taken' | 'too-many' }
  | Unknown;
export type DeleteBucketResult = { readonly outcome: 'deleted' | 'not-empty' } | NoSuchBucket | Unknown;
export type ReadBucketResult = { readonly outcome: 'found'; readonly bucket: BucketState } | NoSuchBucket;

/** One change of what the storage nodes enforce. */
export type BucketChange =
  | { readonly kind: 'versioning'; readonly versioning: 'enabled' | 'suspended' }
  /** Enables object lock, too, where it is not. Undefined: no default any more. */
  | { readonly kind: 'lock'; readonly defaultRetention: DefaultRetention | undefined };

export interface ChangeBucket {
  readonly bucket: string;
  readonly change: BucketChange;
  readonly operation: OperationId;
}

/**
 * `not-allowed`: versioning of a locked bucket suspended, lock where versions are not kept, or either in a
 * PLAIN bucket.
 */
export type ChangeBucketResult = { readonly outcome: 'changed' | 'not-allowed' } | NoSuchBucket | Unknown;

export interface ConfigureBucket {
  readonly bucket: string;
  readonly document: DocumentName;
  /** Undefined takes the document away. */
  readonly text: string | undefined;
  readonly operation: OperationId;
}

export type ConfigureBucketResult = { readonly outcome: 'changed' | 'too-large' } | NoSuchBucket | Unknown;
