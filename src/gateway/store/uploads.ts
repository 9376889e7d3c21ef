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
import { PART_COUNT_MAX } from '../../base/limits.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import { contentKey, customerSeal, fitsCustomer } from '../../keyring/bucket-keys.ts';
import { PART_LIST_INLINE_BYTES_MAX, PART_LIST_NUMBER } from '../../keyring/metadata.ts';
import type { ObjectMeta, PartMeta, UploadMeta, VersionPointer } from '../../keyring/metadata.ts';
import type { Part } from '../../protocol/manifest.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { ListedPart } from '../index/object-index.ts';
import { fingerprintOf } from '../operations.ts';
import type { Operation } from '../operations.ts';
import type { ContentSeal, CustomerKey, OperationId } from '../s3/port/content.ts';
import type { CustomerKeyFault, NoSuchBucket, NoSuchUpload } from '../s3/port/outcomes.ts';
import type { AbortUploadResult, CompleteUpload, CompleteUploadResult, CreateUpload, CreateUploadResult, PartInfo, ReadUpload, ReadUploadResult, UploadAddress, UploadPart, UploadPartResult } from '../s3/port/uploads.ts';
import { accountOf, openBucket } from './open-bucket.ts';
import type { StoreContext } from './context.ts';
import {
  toAttributes,
  toChecksum,
  toChecksumKind,
  toMetadata,
  toStoredAttributes,
  toStoredChecksum,
  toStoredHeaders,
} from './mapping.ts';
import { goneOrBusy, isConflict, isUnsupported, storedAs, storedEarlier } from './objects.ts';
import { encodePartList } from './part-list.ts';
import { buryParts } from './upload-leftovers.ts';
import { asksForLock, attributesIn, writeTerms } from './write-terms.ts';
import type { Admission } from './upload-quota.ts';
import { bury, guessOf, Repetition, writeVersion } from './write-version.ts';

const UPLOAD_ID_BYTES = 16;

export interface OpenUpload {
  readonly outcome: 'open';
  readonly bucket: Bucket;
  readonly meta: UploadMeta;
  readonly keyId: Uint8Array;
  /** Its register. */
  readonly register: VersionPointer;
}

export async function createUpload(ctx: StoreContext, request: CreateUpload): Promise<CreateUploadResult> {
  const bucket = await openBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  if (asksForLock(bucket, request.attributes)) return { outcome: 'lock-disabled' };
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
  let admission: Admission | null = null;
  let isStored = false;
  try {
    const attributes = toStoredAttributes(request.attributes);
    const fingerprint = fingerprintOf({ t: 'create-upload', checksum, headers, attributes });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'done') return { outcome: 'created', uploadId: hex(earlier.row.uploadId) };
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    admission = await ctx.uploadQuotas.admit(accountOf(ctx, bucket), { uploads: 1, bytes: 0 });
    if (admission === null) return { outcome: 'quota-exceeded' };
    const mark = operation.mark(fingerprint);
    const mtimeMs = ctx.clock.nowMs();
    const uploadKey = ctx.random.bytes(AEAD_KEY_BYTES);
    const { customerKey, owner } = request;
    const meta: UploadMeta = {
      v: 2,
      t: 'upload',
      uploadId,
      name: request.key,
      mtimeMs,
      headers,
      checksum,
      uploadKey,
      operation: mark,
      owner,
      attributes,
      customer: customerKey === undefined ? null : customerSeal(uploadKey, customerKey.key, customerKey.md5),
    };
    const encMeta = keys.sealMeta(ctx.random, keyId, dataKey, meta);
    const content = noContent(dataKey, keys.wrap(ctx.random, keyId, dataKey), encMeta);
    const written = await writeVersion(ctx, bucket, {
      keyId,
      opId: operation.id,
      predecessor: null,
      content,
    });
    isStored = written.kind === 'committed' || written.kind === 'unknown';
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind === 'stale') return await goneOrBusy(ctx, request.bucket);
    return { outcome: 'created', uploadId: hex(uploadId) };
  } finally {
    admission?.end(isStored);
    operation.end();
  }
}

export async function uploadPart(ctx: StoreContext, request: UploadPart): Promise<UploadPartResult> {
  const upload = await openUpload(ctx, request);
  if (upload.outcome !== 'open') return upload;
  request.content.agree?.(toChecksumKind(upload.meta.checksum));
  return uploadInto(ctx, upload, request, { t: 'part' });
}

/** Why a part cannot be sealed with this key of the customer's; undefined: it can. */
export function uploadKeyFault(
  { meta: { customer, uploadKey } }: OpenUpload,
  key: CustomerKey | undefined,
): CustomerKeyFault | undefined {
  if (customer === null) return undefined;
  if (key === undefined) return { outcome: 'customer-key-needed' };
  return fitsCustomer(uploadKey, key.key, customer) ? undefined : { outcome: 'customer-key-wrong' };
}

/** Stores one part. `kind`: what of the request its fingerprint names besides. */
export async function uploadInto(
  ctx: StoreContext,
  upload: OpenUpload,
  request: UploadPart,
  kind: Readonly<Record<string, unknown>>,
): Promise<UploadPartResult> {
  const fault = uploadKeyFault(upload, request.customerKey);
  if (fault !== undefined) return fault;
  const { keys } = upload.bucket;
  const { uploadId, uploadKey, customer } = upload.meta;
  const { content, number, customerKey } = request;
  const mtimeMs = ctx.clock.nowMs();
  const keyId = keys.partKeyId(uploadId, number);
  const salt = ctx.random.bytes(16);
  const dataKey = partKey(contentKey(uploadKey, customer === null ? undefined : customerKey?.key), salt);
  const admission = await ctx.uploadQuotas.admit(accountOf(ctx, upload.bucket), { uploads: 0, bytes: content.size });
  if (admission === null) return { outcome: 'quota-exceeded' };
  const operation = ctx.operations.begin(request.operation);
  let seal: ContentSeal | undefined;
  let isStored = false;
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
          const fingerprint = fingerprintOf({ ...kind, size: content.size, etag, checksum });
          const earlier = await operation.settle(fingerprint);
          if (earlier.kind !== 'none') throw new Repetition(earlier);
          const mark = operation.mark(fingerprint);
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
    isStored = written.kind === 'committed' || written.kind === 'unknown';
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind !== 'committed') return await goneOrBusy(ctx, request.bucket);
    assert(seal !== undefined, 'what was committed was sealed');
    const { etag, checksum } = seal;
    return (await lateFor(ctx, request, number)) ?? { outcome: 'stored', etag, checksum, lastModifiedMs: mtimeMs };
  } catch (error) {
    if (!(error instanceof Repetition)) throw error;
    if (error.earlier.kind === 'unknown') return { outcome: 'unknown' };
    return storedEarlier(error.earlier.row);
  } finally {
    admission.end(isStored);
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

export async function readUpload(ctx: StoreContext, { parts: range, ...address }: ReadUpload): Promise<ReadUploadResult> {
  const upload = await openUpload(ctx, address);
  if (upload.outcome !== 'open') return upload;
  const { headers, mtimeMs, checksum, owner, attributes, customer } = upload.meta;
  const parts = range?.limit === 0 ? [] : await partsOf(ctx, upload, range);
  return {
    outcome: 'found',
    upload: {
      owner: owner ?? accountOf(ctx, upload.bucket),
      metadata: toMetadata(headers),
      attributes: toAttributes(attributes),
      createdMs: mtimeMs,
      checksum: toChecksumKind(checksum),
      customerKeyMd5: customer?.md5,
    },
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
    const condition = request.condition ?? null;
    const fingerprint = fingerprintOf({ t: 'complete', uploadId: request.uploadId, numbers, condition });
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    if (earlier.kind === 'done') return storedEarlier(earlier.row);
    const upload = await openUpload(ctx, request);
    if (upload.outcome !== 'open') return upload;
    if (isUnsupported(upload.bucket, request.condition)) return { outcome: 'condition-unsupported' };
    const stored = await partsOf(ctx, upload);
    const chosen = chosenParts(stored, request.parts);
    if (chosen === null) return { outcome: 'changed' };
    const result = await writeWhole(ctx, upload, request, chosen, operation, fingerprint);
    if (result === 'stale') return await goneOrBusy(ctx, request.bucket);
    if (result.outcome === 'stored') await endUpload(ctx, upload, stored, ctx.partsKeptMs);
    return result;
  } catch (error) {
    if (isConflict(error, request.condition)) return { outcome: 'condition-conflict' };
    throw error;
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
    if (buried !== 'buried') return await goneOrBusy(ctx, address.bucket);
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
  return storedEarlier(row);
}

/**
 * The upload as its register says now. What is not found is looked for again under the bucket's newest
 * record.
 */
export async function openUpload(
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
      return { outcome: 'open', bucket, meta, keyId, register: { stamp: newest.stamp, hash: newest.signed.hash } };
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

/** The parts, behind a barrier: also those that another gateway stored. */
async function partsOf(
  ctx: StoreContext,
  { bucket, meta }: OpenUpload,
  range?: ReadUpload['parts'],
): Promise<readonly ListedPart[]> {
  await ctx.barrier.pass();
  const all = await ctx.barrier.parts(bucket.bucketId, bucket.record.gen, meta.uploadId, range?.above, range?.limit);
  return all.filter(({ number }) => number < PART_LIST_NUMBER);
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
  upload: OpenUpload,
  request: CompleteUpload,
  chosen: readonly ListedPart[],
  operation: Operation,
  fingerprint: Uint8Array,
): Promise<CompleteUploadResult | 'stale'> {
  const { bucket, meta: from } = upload;
  const { keys, record } = bucket;
  const keyId = keys.objectKeyId(from.name);
  const size = chosen.reduce((sum, part) => sum + part.size, 0);
  const list = await placePartList(ctx, upload, chosen, size);
  if (list === 'unknown' || list === 'stale') return list === 'stale' ? list : { outcome: list };
  // An empty object has no contents to name; it is sealed under a key of its own.
  const isEmpty = size === 0;
  const dataKey = isEmpty && from.customer === null ? ctx.random.bytes(AEAD_KEY_BYTES) : from.uploadKey;
  const attributes = attributesIn(ctx, bucket, toAttributes(from.attributes));
  const mtimeMs = ctx.clock.nowMs();
  const meta: ObjectMeta = {
    v: 2,
    t: 'object',
    name: from.name,
    etag: request.etag,
    mtimeMs,
    headers: from.headers,
    checksum: toStoredChecksum(request.checksum),
    parts: chosen.length,
    operation: operation.mark(fingerprint),
    owner: from.owner,
    kept: record.versioning,
    attributes,
    customer: from.customer,
    partList: list.inside,
    partListBytes: list.behind?.size ?? 0,
  };
  const wrappedKey = keys.wrap(ctx.random, keyId, dataKey);
  const encMeta = keys.sealMeta(ctx.random, keyId, dataKey, meta);
  const parts = [...chosen.filter((part) => part.size > 0).map(rowOf), ...(list.behind === null ? [] : [list.behind])];
  const whole = size + meta.partListBytes;
  const content: WriteContent = isEmpty
    ? noContent(ctx.random.bytes(AEAD_KEY_BYTES), wrappedKey, encMeta)
    : { kind: 'table', size: whole, parts, wrappedKey, encMeta };
  const { condition } = request;
  const mayBeRepetition = (): Promise<boolean> => Promise.resolve(false);
  const terms = writeTerms(ctx, { bucket, key: from.name, condition, attributes, mayBeRepetition });
  const written = await writeVersion(ctx, bucket, {
    keyId,
    opId: operation.id,
    ...(await guessOf(ctx, keyId)),
    ...terms,
    content,
  });
  switch (written.kind) {
    case 'stale':
      return 'stale';
    case 'unknown':
      return { outcome: 'unknown' };
    case 'declined':
      return terms.failure();
    case 'committed': {
      const { etag, checksum } = request;
      return storedAs(bucket, written.signed, { etag, checksum, lastModifiedMs: mtimeMs });
    }
  }
}

interface PlacedList {
  readonly inside: Uint8Array | null;
  readonly behind: Part | null;
}

/** A short list of the parts goes into the metadata, a long one behind the content, as one more part. */
async function placePartList(
  ctx: StoreContext,
  { bucket, meta: { uploadId, uploadKey } }: OpenUpload,
  chosen: readonly ListedPart[],
  size: number,
): Promise<PlacedList | 'unknown' | 'stale'> {
  const list = encodePartList(chosen.map(infoOf));
  if (list.length <= PART_LIST_INLINE_BYTES_MAX) return { inside: list, behind: null };
  // A table has room for so many rows, and an empty object has none.
  if (size === 0 || chosen.length >= PART_COUNT_MAX) return { inside: null, behind: null };
  const { keys } = bucket;
  const keyId = keys.partKeyId(uploadId, PART_LIST_NUMBER);
  const salt = ctx.random.bytes(16);
  const dataKey = partKey(uploadKey, salt);
  const mtimeMs = ctx.clock.nowMs();
  const common = { v: 1, t: 'part', uploadId, number: PART_LIST_NUMBER } as const;
  const meta: PartMeta = { ...common, etag: '', mtimeMs, checksum: null, salt, operation: null };
  const encMeta = keys.sealMeta(ctx.random, keyId, dataKey, meta);
  const written = await writeVersion(ctx, bucket, {
    keyId,
    opId: ctx.random.bytes(32),
    content: {
      kind: 'bytes',
      size: list.length,
      body: once(list),
      dataKey,
      wrappedKey: keys.wrap(ctx.random, keyId, dataKey),
      forceCells: true,
      finish: () => Promise.resolve(encMeta),
    },
  });
  if (written.kind !== 'committed') return written.kind === 'unknown' ? 'unknown' : 'stale';
  const { contentId, n, k, cellBytes } = written.signed.manifest;
  return { inside: null, behind: { contentId, size: list.length, n, k, cellBytes, salt } };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
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
  { bucket, keyId, meta, register }: OpenUpload,
  opId: Uint8Array,
  mark: Uint8Array | null,
): Promise<'buried' | 'unknown' | 'declined' | null> {
  return bury(ctx, bucket, {
    keyId,
    of: { t: 'upload', uploadId: meta.uploadId },
    opId,
    mark,
    predecessor: register,
  });
}

function leftOf(
  { meta }: OpenUpload,
  parts: readonly ListedPart[],
): { uploadId: Uint8Array; number: number }[] {
  const { uploadId } = meta;
  return [...parts.map(({ number }) => ({ uploadId, number })), { uploadId, number: PART_LIST_NUMBER }];
}
