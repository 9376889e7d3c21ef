/**
 * The documents about a bucket: one hidden register whose content is all of them. A change is written over
 * exactly the documents that it was made from; in a serialised bucket no other change is lost.
 */
import { z } from 'zod';
import { concat, EMPTY, equal } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import { decode, encode } from '../../protocol/encoding.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import { CONFIGURATION_BYTES_MAX } from '../s3/port/buckets.ts';
import type {
  BucketState,
  ConfigureBucket,
  ConfigureBucketResult,
  Documents,
  ReadBucketResult,
} from '../s3/port/buckets.ts';
import { accountOf, openBucket } from './open-bucket.ts';
import { fingerprintOf } from '../operations.ts';
import type { StoreContext } from './context.ts';
import { endsPredecessor, writeVersion } from './write-version.ts';

const ENCODED_BYTES_MAX = CONFIGURATION_BYTES_MAX + 4096;
const TRIES_MAX = 8;

const documentsSchema: z.ZodType<Documents> = z.partialRecord(
  z.enum([
    'accessControl',
    'cors',
    'encryption',
    'lifecycle',
    'logging',
    'notification',
    'ownership',
    'policy',
    'publicAccessBlock',
    'requestPayment',
    'tagging',
    'website',
  ]),
  z.string(),
) as z.ZodType<Documents>;

interface Held {
  readonly documents: Documents;
  readonly hash: Uint8Array;
}

/** The documents as the storage nodes say; null: none were ever written. */
async function readDocuments(ctx: StoreContext, { keys }: Bucket): Promise<Held | null> {
  const result = await ctx.client.read(keys.documentsKeyId(), ({ manifest }) => {
    const opened = keys.openVersion(manifest);
    if (opened?.meta.t !== 'documents' || opened.dataKey === null) throw damaged();
    return { dataKey: opened.dataKey };
  });
  if (result.kind === 'absent') return null;
  if (result.kind === 'head' || result.version.signed.manifest.size > ENCODED_BYTES_MAX) throw damaged();
  const pieces: Uint8Array[] = [];
  for await (const piece of result.stream) pieces.push(piece.slice());
  const decoded = decode(documentsSchema, concat(...pieces), ENCODED_BYTES_MAX);
  if (!decoded.ok) throw damaged();
  return { documents: decoded.value, hash: result.version.signed.hash };
}

function damaged(): OperationError {
  return new OperationError('DAMAGED', 'The documents of the bucket do not open with its keys.');
}

type Written = 'changed' | 'kept' | 'too-large' | 'unknown' | 'stale';

/** By whose request; `mark`: by what a repetition of it is known, null when there is none. */
export interface DocumentsOperation {
  readonly opId: Uint8Array;
  readonly mark: Uint8Array | null;
}

/** Writes what `change` makes of the documents that there are; 'keep' leaves them. */
export async function writeDocuments(
  ctx: StoreContext,
  bucket: Bucket,
  operation: DocumentsOperation,
  change: (known: Documents | null) => Documents | 'keep',
): Promise<Written> {
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    const held = await readDocuments(ctx, bucket);
    const next = change(held?.documents ?? null);
    if (next === 'keep') return 'kept';
    const plain = encode(next);
    if (plain.length > CONFIGURATION_BYTES_MAX) return 'too-large';
    const written = await writeOver(ctx, bucket, operation, plain, held?.hash ?? EMPTY);
    ctx.states.forget(bucket.name);
    if (written === 'committed') return 'changed';
    if (written !== 'declined') return written;
  }
  throw new OperationError('BUSY', 'The documents of the bucket keep changing.', { retryable: true });
}

async function writeOver(
  ctx: StoreContext,
  bucket: Bucket,
  { opId, mark }: DocumentsOperation,
  plain: Uint8Array,
  base: Uint8Array,
): Promise<'committed' | 'declined' | 'unknown' | 'stale'> {
  const { keys } = bucket;
  const keyId = keys.documentsKeyId();
  const dataKey = ctx.random.bytes(AEAD_KEY_BYTES);
  const meta = { v: 1, t: 'documents', mtimeMs: ctx.clock.nowMs(), operation: mark } as const;
  const encMeta = keys.sealMeta(ctx.random, keyId, dataKey, meta);
  const written = await writeVersion(ctx, bucket, {
    keyId,
    opId,
    needsCertified: true,
    decide: (predecessor) =>
      Promise.resolve(equal(predecessor?.hash ?? EMPTY, base) ? endsPredecessor(bucket, predecessor) : 'decline'),
    content: {
      kind: 'bytes',
      size: plain.length,
      body: once(plain),
      dataKey,
      wrappedKey: keys.wrap(ctx.random, keyId, dataKey),
      finish: () => Promise.resolve(encMeta),
    },
  });
  return written.kind;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}

/** Applied once, however often it is sent. */
export async function configureBucket(ctx: StoreContext, request: ConfigureBucket): Promise<ConfigureBucketResult> {
  const operation = ctx.operations.begin(request.operation);
  const { bucket, document, text } = request;
  const fingerprint = fingerprintOf({ t: 'document', bucket, document, text: text ?? null });
  try {
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind !== 'none') return { outcome: earlier.kind === 'done' ? 'changed' : 'unknown' };
    return await applyChange(ctx, request, operation.mark(fingerprint));
  } finally {
    operation.end();
  }
}

async function applyChange(
  ctx: StoreContext,
  request: ConfigureBucket,
  mark: Uint8Array | null,
): Promise<ConfigureBucketResult> {
  const { document, text, operation } = request;
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    const bucket = await openBucket(ctx, request.bucket);
    if (bucket === null) return { outcome: 'no-such-bucket' };
    const written = await writeDocuments(ctx, bucket, { opId: operation.id, mark }, (known) => {
      const rest = Object.entries(known ?? {}).filter(([name]) => name !== document);
      return Object.fromEntries(text === undefined ? rest : [...rest, [document, text]]);
    });
    if (written === 'unknown' || written === 'too-large') return { outcome: written };
    if (written !== 'stale') return { outcome: 'changed' };
  }
  throw new OperationError('BUSY', 'The record of the bucket keeps changing.', { retryable: true });
}

const VERSIONING = { NEVER: 'never', ENABLED: 'enabled', SUSPENDED: 'suspended' } as const;

export function readBucket(ctx: StoreContext, name: string): Promise<ReadBucketResult> {
  return ctx.states.get(name, async () => {
    await ctx.registry.refresh(name);
    const bucket = await openBucket(ctx, name);
    if (bucket === null) return { outcome: 'no-such-bucket' };
    const documents = (await readDocuments(ctx, bucket))?.documents ?? {};
    return { outcome: 'found', bucket: stateOf(ctx, bucket, documents) };
  });
}

function stateOf(ctx: StoreContext, bucket: Bucket, documents: Documents): BucketState {
  const { name, record, seal } = bucket;
  const rule = seal.defaultRetention;
  return {
    name,
    createdMs: seal.createdMs,
    owner: accountOf(ctx, bucket),
    versioning: VERSIONING[record.versioning],
    lockEnabled: record.lock,
    defaultRetention:
      rule === null ? undefined : { mode: rule.mode, period: { unit: rule.unit, count: rule.count } },
    serialised: record.mode === 'SERIALISED',
    documents,
  };
}
