/** A bucket's state and documents as features read and write them. */
import { bucketOf, operationOf, refusal } from '../call.ts';
import type { Call } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import type { BucketState, DocumentName } from '../port/buckets.ts';

/** The bucket's state; throws NoSuchBucket. */
export async function stateOf(call: Call): Promise<BucketState> {
  const result = await call.store.readBucket(bucketOf(call));
  if (result.outcome !== 'found') throw refusal(result.outcome);
  return result.bucket;
}

/** Writes one document, or takes it away. Throws S3Error unless it was done. */
export async function configure(call: Call, document: DocumentName, text: string | undefined): Promise<void> {
  const bucket = bucketOf(call);
  const result = await call.store.configureBucket({ bucket, document, text, operation: operationOf(call) });
  if (result.outcome === 'changed') return;
  if (result.outcome === 'too-large')
    throw new S3Error('InvalidRequest', 'The configuration of the bucket is too large.');
  throw refusal(result.outcome);
}
