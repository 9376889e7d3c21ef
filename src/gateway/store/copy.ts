/**
 * Copies. Where the same seal will do, a copy is a new version over the cells that storage nodes hold already
 * (protocol 13.3): its data key is wrapped again and no byte moves. Otherwise the content goes through this
 * gateway, as if a client had read it and put it.
 */
import { equal, hex } from '../../base/bytes.ts';
import { isOperationError } from '../../base/errors.ts';
import { incremental } from '../../crypto/primitives.ts';
import type { ObjectMeta, StoredAttributes, StoredHeaders } from '../../keyring/metadata.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import { fingerprintOf } from '../operations.ts';
import { base64 } from '../s3/http/base64.ts';
import { checksumRow, DEFAULT_CHECKSUM } from '../s3/checksums/checksums.ts';
import type { Checksum, ChecksumAlgorithm } from '../s3/checksums/checksums.ts';
import type { ByteSpan, IncomingContent } from '../s3/port/content.ts';
import type { CopyObject, CopyObjectResult, ObjectAttributes, OpenObject, PutObjectResult } from '../s3/port/objects.ts';
import type { CopyPart, CopyPartResult } from '../s3/port/uploads.ts';
import { attributesOf } from './attributes.ts';
import { openBucket } from './open-bucket.ts';
import type { StoreContext } from './context.ts';
import { toAttributes, toChecksum, toStoredHeaders } from './mapping.ts';
import { versionIdOf } from '../version-id.ts';
import { goneOrBusy, isConflict, isUnsupported, putContent, storedAs, storedEarlier } from './objects.ts';
import { customerKeyFault, getObject } from './read-object.ts';
import { openUpload, uploadInto, uploadKeyFault } from './uploads.ts';
import { inBucket, resolveVersion } from './versions.ts';
import type { ObjectVersion } from './versions.ts';
import { asksForLock, attributesIn, writeTerms } from './write-terms.ts';
import { guessOf, writeVersion } from './write-version.ts';

/** What is copied: the version, and its attributes as they are now. */
interface Source {
  readonly outcome: 'source';
  readonly version: ObjectVersion;
  readonly attributes: StoredAttributes;
  readonly versionId: string | undefined;
}

type NoSource = Extract<CopyPartResult, { outcome: 'no-such-source' | 'source-changed' | 'customer-key-needed' | 'customer-key-wrong' }>;

async function openSource(
  ctx: StoreContext,
  { source, sourceEtag, sourceCustomerKey }: Pick<CopyObject, 'source' | 'sourceEtag' | 'sourceCustomerKey'>,
): Promise<Source | NoSource> {
  const found = await inBucket(ctx, source, async (bucket): Promise<Source | NoSource | null> => {
    const version = await resolveVersion(ctx, bucket, source.key, source.versionId);
    if (version?.kind !== 'object') return null;
    const fault = customerKeyFault(version, sourceCustomerKey);
    if (fault !== undefined) return fault;
    if (version.meta.etag !== sourceEtag) return { outcome: 'source-changed' };
    const { attributes } = await attributesOf(ctx, bucket, version);
    const { kept } = version.meta;
    return { outcome: 'source', version, attributes, versionId: versionIdOf(kept, version.signed.manifest.stamp) };
  });
  switch (found.outcome) {
    case 'source':
    case 'source-changed':
    case 'customer-key-needed':
    case 'customer-key-wrong':
      return found;
    default:
      return { outcome: 'no-such-source' };
  }
}

export async function copyObject(ctx: StoreContext, request: CopyObject): Promise<CopyObjectResult> {
  const bucket = await openBucket(ctx, request.bucket);
  if (bucket === null) return { outcome: 'no-such-bucket' };
  const source = await openSource(ctx, request);
  if (source.outcome !== 'source') return source;
  if (asksForLock(bucket, request.attributes)) return { outcome: 'lock-disabled' };
  if (isUnsupported(bucket, request.condition)) return { outcome: 'condition-unsupported' };
  const copy = planCopy(request, source);
  const result = (await copyByReference(ctx, bucket, copy)) ?? (await copyByData(ctx, bucket, copy));
  return result.outcome === 'stored' ? { ...result, sourceVersionId: source.versionId } : result;
}

/** A copy under way. Its fingerprint is of what was asked, so that it is the same whether the content moves or not, and when the source has changed since. */
interface PlannedCopy {
  readonly request: CopyObject;
  readonly source: Source;
  readonly headers: StoredHeaders;
  readonly attributes: ObjectAttributes;
  readonly fingerprint: Uint8Array;
}

function planCopy(request: CopyObject, source: Source): PlannedCopy {
  const { bucket, key, versionId = null } = request.source;
  const { condition = null, checksum = null } = request;
  const asked = request.metadata === undefined ? null : toStoredHeaders(request.metadata);
  const { tags = null } = request.attributes;
  const fingerprint = fingerprintOf({ t: 'copy', source: { bucket, key, versionId }, headers: asked, tags, condition, checksum });
  const attributes = { ...request.attributes, tags: tags ?? toAttributes(source.attributes).tags };
  return { request, source, headers: asked ?? source.version.meta.headers, attributes, fingerprint };
}

/** Null: the content must be moved. */
async function copyByReference(
  ctx: StoreContext,
  bucket: Bucket,
  { request, source: { version }, headers, attributes: asked, fingerprint }: PlannedCopy,
): Promise<PutObjectResult | null> {
  const { manifest } = version.signed;
  const { customerKey, sourceCustomerKey, condition } = request;
  const sameSeal =
    version.meta.customer === null
      ? customerKey === undefined
      : customerKey !== undefined && sourceCustomerKey !== undefined && equal(customerKey.key, sourceCustomerKey.key);
  const { checksum: kept } = version.meta;
  // The checksum of a copy is of all its bytes, unless it is merely kept.
  const isKept = kept?.algorithm === request.checksum && kept?.type === 'FULL_OBJECT';
  const wanted = request.checksum === undefined || isKept;
  if (bucket.record.mode === 'PLAIN' || manifest.kind !== 'DATA' || !sameSeal || !wanted) return null;
  if (!bucket.record.geometries.includes(manifest.k)) return null;
  const operation = ctx.operations.begin(request.operation);
  const { keys, record } = bucket;
  const keyId = keys.objectKeyId(request.key);
  const attributes = attributesIn(ctx, bucket, asked);
  const mayBeRepetition = (): Promise<boolean> => Promise.resolve(false);
  try {
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind !== 'none') return earlier.kind === 'done' ? storedEarlier(earlier.row) : { outcome: 'unknown' };
    const terms = writeTerms(ctx, { bucket, key: request.key, condition, attributes, mayBeRepetition });
    const meta: ObjectMeta = {
      ...version.meta,
      name: request.key,
      mtimeMs: ctx.clock.nowMs(),
      headers,
      operation: operation.mark(fingerprint),
      owner: request.owner,
      kept: record.versioning,
      attributes,
    };
    const { contentId, k, cellBytes, size } = manifest;
    const wrappedKey = keys.wrap(ctx.random, keyId, version.dataKey);
    const encMeta = keys.sealMeta(ctx.random, keyId, version.dataKey, meta);
    const written = await writeVersion(ctx, bucket, {
      keyId,
      opId: operation.id,
      ...(await guessOf(ctx, keyId)),
      ...terms,
      content: { kind: 'copy', contentId, k, cellBytes, size, wrappedKey, encMeta },
    });
    if (written.kind === 'unknown') return { outcome: 'unknown' };
    if (written.kind === 'declined') return terms.failure();
    if (written.kind === 'stale') return await goneOrBusy(ctx, request.bucket);
    const { etag, checksum, mtimeMs } = meta;
    return storedAs(bucket, written.signed, { etag, checksum: toChecksum(checksum), lastModifiedMs: mtimeMs });
  } catch (error) {
    if (isOperationError(error, 'NOT_HELD')) return null;
    if (isConflict(error, condition)) return { outcome: 'condition-conflict' };
    throw error;
  } finally {
    operation.end();
  }
}

async function copyByData(ctx: StoreContext, bucket: Bucket, copy: PlannedCopy): Promise<CopyObjectResult> {
  const { request, source, headers, attributes, fingerprint } = copy;
  const opened = await openAsPlanned(ctx, request, source);
  if (opened.outcome !== 'found') return opened;
  const { meta } = source.version;
  const wanted = request.checksum ?? toChecksum(meta.checksum)?.algorithm ?? DEFAULT_CHECKSUM;
  const content = contentOf(opened, { from: 0, to: opened.info.size }, wanted);
  const { bucket: name, key, owner, customerKey, condition, operation } = request;
  try {
    const put = { bucket: name, key, owner, customerKey, condition, operation, attributes, content };
    return withSource(await putContent(ctx, bucket, put, headers, () => fingerprint), source);
  } finally {
    opened.close();
  }
}

function withSource(result: PutObjectResult, { versionId }: Source): CopyObjectResult {
  return result.outcome === 'stored' ? { ...result, sourceVersionId: versionId } : result;
}

/** Opens exactly the version that was looked at. */
async function openAsPlanned(
  ctx: StoreContext,
  { source, sourceCustomerKey, sourceEtag }: Pick<CopyObject, 'source' | 'sourceEtag' | 'sourceCustomerKey'>,
  { versionId }: Source,
): Promise<OpenObject | NoSource> {
  const named = source.versionId ?? versionId;
  const opened = await getObject(ctx, { ...source, versionId: named, customerKey: sourceCustomerKey, range: undefined });
  switch (opened.outcome) {
    case 'found':
      if (opened.info.etag === sourceEtag) return opened;
      opened.close();
      return { outcome: 'source-changed' };
    case 'customer-key-needed':
    case 'customer-key-wrong':
      return opened;
    default:
      return { outcome: 'source-changed' };
  }
}

/** Stored bytes as a content under way, hashed as the front hashes what clients send. */
function contentOf(source: OpenObject, span: ByteSpan, wanted: ChecksumAlgorithm): IncomingContent {
  const md5 = incremental('md5');
  const running = checksumRow(wanted).start();
  let isRead = false;
  async function* bytes(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of source.read(span)) {
      // A chunk of a read may be used again once the next one is asked for.
      const kept = chunk.slice();
      md5.update(kept);
      running.update(kept);
      yield kept;
    }
    isRead = true;
  }
  return {
    size: span.to - span.from,
    bytes: bytes(),
    seal: () => {
      if (!isRead) throw new TypeError('sealed before the content ended');
      const checksum: Checksum = { algorithm: wanted, type: 'FULL_OBJECT', value: base64(running.digest()) };
      return { etag: hex(md5.digest()), checksum };
    },
  };
}

export async function copyPart(ctx: StoreContext, request: CopyPart): Promise<CopyPartResult> {
  const upload = await openUpload(ctx, request);
  if (upload.outcome !== 'open') return upload;
  const fault = uploadKeyFault(upload, request.customerKey);
  if (fault !== undefined) return fault;
  const source = await openSource(ctx, request);
  if (source.outcome !== 'source') return source;
  const opened = await openAsPlanned(ctx, request, source);
  if (opened.outcome !== 'found') return opened;
  const { bucket, key, uploadId, number, customerKey, operation } = request;
  const content = contentOf(opened, request.span ?? { from: 0, to: opened.info.size }, request.checksum ?? DEFAULT_CHECKSUM);
  try {
    const part = { bucket, key, uploadId, number, customerKey, operation, content };
    const result = await uploadInto(ctx, upload, part, { t: 'copy-part' });
    return result.outcome === 'stored' ? { ...result, sourceVersionId: source.versionId } : result;
  } finally {
    opened.close();
  }
}
