/**
 * Multipart uploads (protocol 13.3). An upload is a hidden register of the bucket that seals its name,
 * metadata and key. A part is an ordinary version under its own keyId, kept as cells, its data key derived
 * from the upload's key: so a certificate proves it durable, and completing moves no content; it writes a
 * table that names the parts' contents. Afterwards register and parts are buried.
 */
import { equal, fromHex, hex } from '../../base/bytes.ts';
import { assert } from '../../base/assert.ts';
import { partKey } from '../../client/read-plan.ts';
import type { WriteContent } from '../../client/content.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import type { ObjectMeta, PartMeta, UploadMeta } from '../../keyring/metadata.ts';
import type { Part } from '../../protocol/manifest.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ListedPart } from '../index/object-index.ts';
import { fingerprintOf } from '../operations.ts';
import type { Operation } from '../operations.ts';
import type {
  AbortUploadResult,
  CompleteUpload,
  CompleteUploadResult,
  ContentSeal,
  CreateUpload,
  CreateUploadResult,
  NoSuchBucket,
  NoSuchUpload,
  OperationId,
  PartInfo,
  ReadUploadResult,
  UploadAddress,
  UploadPart,
  UploadPartResult,
} from '../s3/object-store.ts';
import { openBucket } from './buckets.ts';
import { Conditions } from './conditions.ts';
import type { StoreContext } from './context.ts';
import { toChecksum, toChecksumKind, toMetadata, toStoredChecksum, toStoredHeaders } from './mapping.ts';
import { goneOrBusy } from './objects.ts';
import { buryParts } from './upload-leftovers.ts';
import { bury, guessOf, Repetition, writeVersion } from './write-version.ts';
import type { Guess } from './write-version.ts';

const UPLOAD_ID_BYTES = 16;

interface OpenUpload {
  readonly outcome: 'open';
  readonly bucket: Bucket;
  readonly meta: UploadMeta;
  readonly keyId: Uint8Array;
  /** Of its register. */
  readonly predecessor: Guess;
}

export async function createUpload(ctx: StoreContext, request: CreateUpload): Promise<CreateUploadResult> {
  const bucket = await openBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  const { keys } = bucket;
  const uploadId = ctx.random.bytes(UPLOAD_ID_BYTES);
  const keyId = keys.uploadKeyId(uploadId);
  const dataKey = ctx.random.bytes(AEAD_KEY_BYTES);
  const headers = toStoredHeaders(request.metadata);
  const checksum =
    request.checksum === undefined
      ? null
      : { algorithm: request.checksum.algorithm, type: request.checksum.type };
  const operation = ctx.operations.begin(request.operation);
  try {
    const fingerprint = fingerprintOf({ t: 'create-upload', checksum, headers });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'done') return { outcome: 'created', uploadId: hex(earlier.row.uploadId) };
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    const mark = operation.mark(fingerprint);
    const mtimeMs = ctx.clock.nowMs();
    const uploadKey = ctx.random.bytes(AEAD_KEY_BYTES);
    const meta: UploadMeta = {
      v: 1,
      t: 'upload',
      uploadId,
      name: request.key,
      mtimeMs,
      headers,
      checksum,
      uploadKey,
      operation: mark,
    };
    const encMeta = keys.sealMeta(ctx.random, keyId, dataKey, meta);
    const content = noContent(dataKey, keys.wrap(ctx.random, keyId, dataKey), encMeta);
    const written = await writeVersion(ctx, bucket, {
      keyId,
      opId: operation.id,
      predecessor: null,
      content,
    });
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind === 'stale') return await goneOrBusy(ctx, request.bucket);
    return { outcome: 'created', uploadId: hex(uploadId) };
  } finally {
    operation.end();
  }
}

export async function uploadPart(ctx: StoreContext, request: UploadPart): Promise<UploadPartResult> {
  const upload = await openUpload(ctx, request);
  if (upload.outcome !== 'open') return upload;
  const { keys } = upload.bucket;
  const { uploadId, uploadKey } = upload.meta;
  const { content, number } = request;
  const keyId = keys.partKeyId(uploadId, number);
  const salt = ctx.random.bytes(16);
  const dataKey = partKey(uploadKey, salt);
  const operation = ctx.operations.begin(request.operation);
  let seal: ContentSeal | undefined;
  try {
    const written = await writeVersion(ctx, upload.bucket, {
      keyId,
      opId: operation.id,
      ...(await guessOf(ctx, keyId)),
      content: {
        kind: 'bytes',
        size: content.size,
        body: content.bytes,
        dataKey,
        wrappedKey: keys.wrap(ctx.random, keyId, dataKey),
        // A part table names contents, which only cells have.
        forceCells: content.size > 0,
        finish: async () => {
          seal = content.seal();
          const { etag } = seal;
          const checksum = toStoredChecksum(seal.checksum);
          const fingerprint = fingerprintOf({ t: 'part', size: content.size, etag, checksum });
          const earlier = await operation.settle(fingerprint);
          if (earlier.kind !== 'none') throw new Repetition(earlier);
          const mark = operation.mark(fingerprint);
          const mtimeMs = ctx.clock.nowMs();
          const meta: PartMeta = {
            v: 1,
            t: 'part',
            uploadId,
            number,
            etag,
            mtimeMs,
            checksum,
            salt,
            operation: mark,
          };
          return keys.sealMeta(ctx.random, keyId, dataKey, meta);
        },
      },
    });
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind === 'stale') return await goneOrBusy(ctx, request.bucket);
    assert(seal !== undefined, 'what was committed was sealed');
    return (
      (await lateFor(ctx, request, number)) ?? { outcome: 'stored', etag: seal.etag, checksum: seal.checksum }
    );
  } catch (error) {
    if (!(error instanceof Repetition)) throw error;
    if (error.earlier.kind === 'unknown') return { outcome: 'unknown' };
    const { etag, checksum } = error.earlier.row;
    return { outcome: 'stored', etag, checksum: toChecksum(checksum) };
  } finally {
    operation.end();
  }
}

/** A part that was stored while its upload was ended belongs to nobody: it is buried again. */
async function lateFor(
  ctx: StoreContext,
  address: UploadAddress,
  number: number,
): Promise<NoSuchUpload | null> {
  const upload = await openUpload(ctx, address);
  if (upload.outcome === 'open') return null;
  const bucket = await openBucket(ctx, address.bucket);
  const uploadId = uploadIdOf(address.uploadId);
  if (bucket !== null && uploadId !== null) {
    ctx.background.run('bury late part', 0, (signal) =>
      buryParts(ctx, bucket, [{ uploadId, number }], signal),
    );
  }
  return { outcome: 'no-such-upload' };
}

export async function readUpload(ctx: StoreContext, address: UploadAddress): Promise<ReadUploadResult> {
  const upload = await openUpload(ctx, address);
  if (upload.outcome !== 'open') return upload;
  const { headers, mtimeMs, checksum } = upload.meta;
  const parts = await partsOf(ctx, upload);
  return {
    outcome: 'found',
    upload: { metadata: toMetadata(headers), createdMs: mtimeMs, checksum: toChecksumKind(checksum) },
    parts: parts.map(infoOf),
  };
}

export async function completeUpload(
  ctx: StoreContext,
  request: CompleteUpload,
): Promise<CompleteUploadResult> {
  const operation = ctx.operations.begin(request.operation);
  try {
    const numbers = request.parts.map(({ number, etag }) => ({ number, etag }));
    const fingerprint = fingerprintOf({ t: 'complete', uploadId: request.uploadId, numbers });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    if (earlier.kind === 'done') {
      return { outcome: 'stored', etag: earlier.row.etag, checksum: toChecksum(earlier.row.checksum) };
    }
    const upload = await openUpload(ctx, request);
    if (upload.outcome !== 'open') return upload;
    const stored = await partsOf(ctx, upload);
    const chosen = chosenParts(stored, request.parts);
    if (chosen === null) return { outcome: 'changed' };
    const conditions = Conditions.of(request.condition, upload.bucket);
    if (conditions !== null && !(conditions instanceof Conditions)) return conditions;
    const outcome = await writeWhole(ctx, upload, request, chosen, conditions, operation, fingerprint);
    if (outcome === 'declined') return conditions?.refusal ?? { outcome: 'condition-failed' };
    if (outcome !== 'stored')
      return outcome === 'unknown' ? { outcome } : await goneOrBusy(ctx, request.bucket);
    await endUpload(ctx, upload, stored, ctx.partsKeptMs);
    return { outcome: 'stored', etag: request.etag, checksum: request.checksum };
  } finally {
    operation.end();
  }
}

export async function abortUpload(
  ctx: StoreContext,
  address: UploadAddress,
  id: OperationId,
): Promise<AbortUploadResult> {
  const operation = ctx.operations.begin(id);
  try {
    const fingerprint = fingerprintOf({ t: 'abort', uploadId: address.uploadId });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'done') return { outcome: 'aborted' };
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    const upload = await openUpload(ctx, address);
    if (upload.outcome !== 'open') return upload;
    const buried = await buryRegister(ctx, upload, id.id, operation.mark(fingerprint));
    if (buried === 'unknown') return { outcome: 'unknown' };
    if (buried === null) return await goneOrBusy(ctx, address.bucket);
    ctx.background.run('bury aborted parts', 0, async (signal) => {
      await buryParts(ctx, upload.bucket, leftOf(upload, await partsOf(ctx, upload)), signal);
    });
    return { outcome: 'aborted' };
  } finally {
    operation.end();
  }
}

export async function completedUpload(
  ctx: StoreContext,
  address: UploadAddress,
  { id, repeatable }: OperationId,
): Promise<CompleteUploadResult | undefined> {
  if (!repeatable) return undefined;
  const row = await ctx.operations.result(id);
  const bucket = await openBucket(ctx, address.bucket);
  // The operation id covers bucket, key and upload; that the row is of this object is checked all the same.
  if (row === undefined || bucket === null || !equal(row.keyId, bucket.keys.objectKeyId(address.key)))
    return undefined;
  return { outcome: 'stored', etag: row.etag, checksum: toChecksum(row.checksum) };
}

/**
 * The upload as its register says now. What is not found is looked for again under the bucket's newest
 * record.
 */
async function openUpload(
  ctx: StoreContext,
  address: UploadAddress,
): Promise<OpenUpload | NoSuchBucket | NoSuchUpload> {
  let bucket = await openBucket(ctx, address.bucket);
  const uploadId = uploadIdOf(address.uploadId);
  while (bucket !== null) {
    const keyId = uploadId === null ? null : bucket.keys.uploadKeyId(uploadId);
    const newest = keyId === null ? null : await ctx.client.head(keyId);
    const meta = newest === null ? undefined : bucket.keys.openVersion(newest.signed.manifest)?.meta;
    if (keyId !== null && newest !== null && meta?.t === 'upload' && meta.name === address.key) {
      return { outcome: 'open', bucket, meta, keyId, predecessor: { stamp: newest.stamp, hash: newest.signed.hash } };
    }
    const { gen } = bucket.record;
    await ctx.registry.refresh(address.bucket);
    bucket = await openBucket(ctx, address.bucket);
    if (bucket?.record.gen === gen) return { outcome: 'no-such-upload' };
  }
  return { outcome: 'no-such-bucket' };
}

function uploadIdOf(text: string): Uint8Array | null {
  return /^[0-9a-f]{32}$/.test(text) ? fromHex(text) : null;
}

/** All parts, behind a barrier: also those that another gateway stored. */
async function partsOf(ctx: StoreContext, { bucket, meta }: OpenUpload): Promise<readonly ListedPart[]> {
  await ctx.barrier.pass();
  return ctx.barrier.parts(bucket.bucketId, bucket.record.gen, meta.uploadId);
}

function infoOf(part: ListedPart): PartInfo {
  const { number, size, etag, checksum, mtimeMs } = part;
  return { number, size, etag, checksum: toChecksum(checksum), lastModifiedMs: mtimeMs };
}

/** The stored parts that the caller looked at; null when one of them is not as it was. */
function chosenParts(
  stored: readonly ListedPart[],
  wanted: readonly PartInfo[],
): readonly ListedPart[] | null {
  const byNumber = new Map(stored.map((part) => [part.number, part]));
  const chosen: ListedPart[] = [];
  for (const { number, size, etag } of wanted) {
    const part = byNumber.get(number);
    if (part === undefined || part.size !== size || part.etag !== etag) return null;
    chosen.push(part);
  }
  return chosen;
}

/** Writes the object: a table of the parts' contents under the upload's key. */
async function writeWhole(
  ctx: StoreContext,
  { bucket, meta: upload }: OpenUpload,
  request: CompleteUpload,
  chosen: readonly ListedPart[],
  conditions: Conditions | null,
  operation: Operation,
  fingerprint: Uint8Array,
): Promise<'stored' | 'unknown' | 'stale' | 'declined'> {
  const { keys } = bucket;
  const keyId = keys.objectKeyId(upload.name);
  const size = chosen.reduce((sum, part) => sum + part.size, 0);
  // An empty object has no contents to name; it is sealed under a key of its own.
  const dataKey = size === 0 ? ctx.random.bytes(AEAD_KEY_BYTES) : upload.uploadKey;
  const meta: ObjectMeta = {
    v: 1,
    t: 'object',
    name: upload.name,
    etag: request.etag,
    mtimeMs: ctx.clock.nowMs(),
    headers: upload.headers,
    checksum: toStoredChecksum(request.checksum),
    parts: chosen.length,
    operation: operation.mark(fingerprint),
  };
  const wrappedKey = keys.wrap(ctx.random, keyId, dataKey);
  const encMeta = keys.sealMeta(ctx.random, keyId, dataKey, meta);
  const parts = chosen.filter((part) => part.size > 0).map(rowOf);
  const content: WriteContent =
    size === 0
      ? noContent(dataKey, wrappedKey, encMeta)
      : { kind: 'table', size, parts, wrappedKey, encMeta };
  const written = await writeVersion(ctx, bucket, {
    keyId,
    opId: operation.id,
    ...(await guessOf(ctx, keyId)),
    ...(conditions === null ? {} : { allows: conditions.allows }),
    content,
  });
  return written.kind === 'committed' ? 'stored' : written.kind;
}

function rowOf({ contentId, size, n, k, cellBytes, salt }: ListedPart): Part {
  return { contentId, size, n, k, cellBytes, salt };
}

/** A content of no bytes. */
function noContent(dataKey: Uint8Array, wrappedKey: Uint8Array, encMeta: Uint8Array): WriteContent {
  return {
    kind: 'bytes',
    size: 0,
    body: nothing(),
    dataKey,
    wrappedKey,
    finish: () => Promise.resolve(encMeta),
  };
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

/** Buries the register now and the parts later. What fails is done by the next start: the object is there. */
async function endUpload(
  ctx: StoreContext,
  upload: OpenUpload,
  parts: readonly ListedPart[],
  delayMs: number,
): Promise<void> {
  try {
    if ((await buryRegister(ctx, upload, ctx.random.bytes(32), null)) !== 'buried') return;
  } catch (error) {
    ctx.telemetry.event('warn', 'completed upload not buried', { error: String(error) });
    return;
  }
  ctx.background.run('bury completed parts', delayMs, (signal) =>
    buryParts(ctx, upload.bucket, leftOf(upload, parts), signal),
  );
}

function buryRegister(
  ctx: StoreContext,
  { bucket, keyId, meta, predecessor }: OpenUpload,
  opId: Uint8Array,
  mark: Uint8Array | null,
): Promise<'buried' | 'unknown' | 'declined' | null> {
  const of = { t: 'upload', uploadId: meta.uploadId } as const;
  return bury(ctx, bucket, { keyId, of, opId, mark, predecessor });
}

function leftOf(
  { meta }: OpenUpload,
  parts: readonly ListedPart[],
): { uploadId: Uint8Array; number: number }[] {
  return parts.map(({ number }) => ({ uploadId: meta.uploadId, number }));
}
