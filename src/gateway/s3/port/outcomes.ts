/** Results that several operations of the store share. */

/** Something was prepared and its end is not known. */
export interface Unknown {
  readonly outcome: 'unknown';
}

export interface NoSuchBucket {
  readonly outcome: 'no-such-bucket';
}

/** There is no version that the request could mean. */
export interface NoSuchKey {
  readonly outcome: 'no-such-key';
}

/** A version id was given that names no version of this key. */
export interface NoSuchVersion {
  readonly outcome: 'no-such-version';
}

export interface NoSuchUpload {
  readonly outcome: 'no-such-upload';
}

/** The version asked for, or the newest when none was, is a delete marker. */
export interface IsDeleteMarker {
  readonly outcome: 'delete-marker';
  readonly versionId: string;
  readonly lastModifiedMs: number;
}

/** The write's condition did not hold. `no-such-key`: If-Match where there is no object. */
export type ConditionFailed =
  | { readonly outcome: 'condition-failed' }
  /** Another conditional write of the same key was decided meanwhile: ask again. */
  | { readonly outcome: 'condition-conflict' }
  /** The bucket is PLAIN and cannot decide conditions (13.7). */
  | { readonly outcome: 'condition-unsupported' };

/** Retention or a legal hold forbids the change. */
export interface Locked {
  readonly outcome: 'locked';
}

/** The quota of unfinished uploads of the bucket's account is used up. */
export interface QuotaExceeded {
  readonly outcome: 'quota-exceeded';
}

/** The object is sealed under a key of the customer's (SSE-C) that was not given, or is another one. */
export interface CustomerKeyFault {
  readonly outcome: 'customer-key-needed' | 'customer-key-wrong';
}
