/** The requests by which simulated clients change what stands under a key, each as often as it takes. */
import { isOperationError } from '../base/errors.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { WriteCondition } from '../gateway/s3/port/objects.ts';
import type { PartInfo } from '../gateway/s3/port/uploads.ts';
import { incoming } from './contents.ts';
import { NO_ATTRIBUTES, NO_METADATA, operationId, OWNER } from './requests.ts';

/**
 * What a request for a write came to. `void`: it was refused, and nothing of it may ever be seen; `declined`,
 * `nothing-there`: so was its condition.
 */
export type WriteOutcome = 'done' | 'unknown' | 'void' | 'declined' | 'nothing-there';

/** Sent once; again means: the same request. */
export type SendWrite = (gateway: Gateway, condition: WriteCondition | undefined) => Promise<WriteOutcome>;

/** A key of a bucket, and the name of the operation. */
export interface Target {
  readonly bucket: string;
  readonly key: string;
  readonly name: string;
}

const SMALL = { metadata: NO_METADATA, owner: OWNER, attributes: NO_ATTRIBUTES, customerKey: undefined } as const;

export function sendPut({ bucket, key, name }: Target, bytes: Uint8Array): SendWrite {
  return ({ store }, condition) =>
    told(() => store.putObject({ ...SMALL, bucket, key, content: incoming(bytes), condition, operation: operationId(name) }));
}

export function sendDelete({ bucket, key, name }: Target): SendWrite {
  return ({ store }, condition) =>
    told(() => store.deleteObject({ bucket, key, versionId: undefined, owner: OWNER, condition, bypassGovernance: false, operation: operationId(name) }));
}

/** Of the version of the source that has this ETag. */
export function sendCopy({ bucket, key, name }: Target, source: string, sourceEtag: string): SendWrite {
  const from = { source: { bucket, key: source, versionId: undefined }, sourceEtag, sourceCustomerKey: undefined, checksum: undefined };
  return ({ store }, condition) =>
    told(() => store.copyObject({ ...SMALL, ...from, bucket, key, metadata: undefined, attributes: { ...NO_ATTRIBUTES, tags: undefined }, condition, operation: operationId(name) }));
}

/** An upload of two parts. What of it has been done already is not done again; a completed one is completed once. */
export function sendComplete({ bucket, key, name }: Target, bytes: Uint8Array, etag: string): SendWrite {
  const half = bytes.length >> 1;
  const contents = [bytes.subarray(0, half), bytes.subarray(half)];
  const parts: PartInfo[] = [];
  const operation = operationId(name);
  let uploadId: string | undefined;
  let isSent = false;
  const begin = async ({ store }: Gateway): Promise<string | undefined> => {
    const created = await store.createUpload({ ...SMALL, bucket, key, checksum: undefined, operation: operationId(`${name} begins`) });
    return created.outcome === 'created' ? created.uploadId : undefined;
  };
  const upload = async ({ store }: Gateway, at: { readonly bucket: string; readonly key: string; readonly uploadId: string }): Promise<boolean> => {
    for (let number = parts.length + 1; number <= contents.length; number += 1) {
      const content = contents[number - 1] ?? new Uint8Array(0);
      const stored = await store.uploadPart({ ...at, number, content: incoming(content), customerKey: undefined, operation: operationId(`${name} part ${number}`) });
      if (stored.outcome !== 'stored') return false;
      parts.push({ number, size: content.length, etag: stored.etag, checksum: undefined, lastModifiedMs: stored.lastModifiedMs });
    }
    return true;
  };
  return async (gateway, condition) => {
    const { store } = gateway;
    return told(async () => {
      uploadId ??= await begin(gateway);
      if (uploadId === undefined) return { outcome: 'not-begun' };
      const at = { bucket, key, uploadId };
      // As the front does for whoever sends the request again.
      const earlier = isSent ? await store.completedUpload(at, operation) : undefined;
      if (earlier !== undefined) return earlier;
      if (!(await upload(gateway, at))) return { outcome: 'not-begun' };
      const known = await store.readUpload(at);
      if (known.outcome !== 'found') return { outcome: isSent ? 'unknown' : 'not-begun' };
      isSent = true;
      return store.completeUpload({ ...at, parts: known.parts, etag, checksum: undefined, condition, operation });
    });
  };
}

async function told(request: () => Promise<{ readonly outcome: string }>): Promise<WriteOutcome> {
  try {
    const { outcome } = await request();
    switch (outcome) {
      case 'stored':
      case 'deleted':
        return 'done';
      case 'unknown':
        return 'unknown';
      case 'condition-failed':
        return 'declined';
      case 'no-such-key':
        return 'nothing-there';
      default:
        return 'void';
    }
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return 'void';
  }
}
