/**
 * DeleteObject and DeleteObjects. Deleting what does not exist is a success, as in S3. A bulk delete carries
 * an outcome for each key, in the order asked; its body must come with a checksum, so that a bit flipped on
 * the way never deletes another key.
 */
import { utf8 } from '../../../base/bytes.ts';
import { isOperationError } from '../../../base/errors.ts';
import type { HeaderField } from '../../../base/http.ts';
import { ownerOfMarker } from '../access/new-object.ts';
import { bucketOf, emptyResponse, operationOf, refusal } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { hasChecksum, readAll } from '../body/content.ts';
import { S3Error, toS3Error } from '../http/errors.ts';
import { bypassesGovernance } from '../lock/lock-headers.ts';
import type { OperationId } from '../port/content.ts';
import type { DeleteObjectResult, VersionAddress, WriteCondition } from '../port/objects.ts';
import { KEY_BYTES_MAX } from '../http/uri.ts';
import { requireVersionId, versionAddressOf, versionHeaders } from '../versions/version-id.ts';
import { byteCount, conditionOf, deleteConditionOf, entityTag } from './write-conditions.ts';
import { timestampMs } from '../http/timestamp.ts';
import { element, fields, optional, readXml, requiredText, XML_LIST_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';

const KEYS_MAX = 1000;
const CONCURRENT_DELETES = 16;

type Deleted = Extract<DeleteObjectResult, { outcome: 'deleted' }>;

export const deleteObject: Feature = async (call) => {
  const address = versionAddressOf(call);
  const deleted = await remove(call, address, deleteConditionOf(call.headers), operationOf(call));
  const marker: HeaderField[] = deleted.isDeleteMarker ? [['x-amz-delete-marker', 'true']] : [];
  return emptyResponse(204, [...versionHeaders(deleted.versionId), ...marker]);
};

/** Throws S3Error unless the deletion is done. */
async function remove(
  call: Call,
  address: VersionAddress,
  condition: WriteCondition | undefined,
  operation: OperationId,
): Promise<Deleted> {
  const owner = await ownerOfMarker(call.access, address.bucket);
  const bypassGovernance = bypassesGovernance(call.headers);
  const result = await call.store.deleteObject({ ...address, owner, condition, bypassGovernance, operation });
  if (result.outcome === 'deleted') return result;
  const isRefused = result.outcome === 'no-such-key' || result.outcome === 'condition-failed';
  if (isRefused && (await isGone(call, address, condition)))
    return { outcome: 'deleted', versionId: address.versionId, isDeleteMarker: false };
  throw isRefused ? refusal('condition-failed') : refusal(result.outcome);
}

/**
 * A condition about what is not there does not hold, yet deleting it has nothing left to do. Under a delete
 * marker `*` counts as gone, too; an entity tag, a time or a size is one that the marker does not have.
 * Whoever may not learn whether there is an object is told that the condition failed.
 */
async function isGone(
  call: Call,
  address: VersionAddress,
  condition: WriteCondition | undefined,
): Promise<boolean> {
  try {
    const { outcome } = await call.store.headObject(address);
    if (outcome === 'delete-marker') {
      const { ifMatch, ifLastModifiedMs, ifSize } = condition ?? {};
      const isAny = ifMatch === '*' && ifLastModifiedMs === undefined && ifSize === undefined;
      return isAny && address.versionId === undefined;
    }
    return outcome === 'no-such-key' || outcome === 'no-such-version';
  } catch (error) {
    if (error instanceof S3Error && error.code === 'AccessDenied') return false;
    throw error;
  }
}

/** One Object of a bulk delete. */
interface Wish {
  readonly key: string;
  readonly versionId: string | undefined;
  readonly condition: WriteCondition | undefined;
}

interface BulkDelete {
  readonly wishes: readonly Wish[];
  readonly quiet: boolean;
}

function parseWish(child: ReadElement): Wish {
  const known = fields(child, ['Key', 'VersionId', 'ETag', 'LastModifiedTime', 'Size']);
  const text = (name: 'VersionId' | 'ETag' | 'LastModifiedTime' | 'Size'): string | undefined =>
    known[name] === undefined ? undefined : requiredText(name, known[name]);
  const malformed = (name: string) => (): S3Error => new S3Error('MalformedXML', `${name} is not valid.`);
  const tag = text('ETag');
  const time = text('LastModifiedTime');
  const size = text('Size');
  // An empty VersionId is how some clients say that they mean none.
  const versionId = text('VersionId');
  return {
    key: requiredText('Key', known.Key),
    versionId: versionId === '' ? undefined : versionId,
    condition: conditionOf({
      ...(tag === undefined ? {} : { ifMatch: entityTag(tag) }),
      ...(time === undefined ? {} : { ifLastModifiedMs: timestampMs(time, malformed('LastModifiedTime')) }),
      ...(size === undefined ? {} : { ifSize: byteCount(size, malformed('Size')) }),
    }),
  };
}

function parse(document: Uint8Array): BulkDelete {
  const root = readXml(document, 'Delete');
  const wishes: Wish[] = [];
  let quiet = false;
  for (const child of root.children) {
    if (child.name === 'Quiet') quiet = child.text.trim() === 'true';
    else if (child.name === 'Object') wishes.push(parseWish(child));
    else throw new S3Error('MalformedXML');
  }
  if (wishes.length === 0 || wishes.length > KEYS_MAX)
    throw new S3Error('MalformedXML', `Name 1 to ${String(KEYS_MAX)} keys.`);
  return { wishes, quiet };
}

/** One key; an expected failure is an entry of the answer, a broken invariant is not. */
async function deleteOne(call: Call, bucket: string, wish: Wish, index: number): Promise<S3Error | Deleted> {
  const { key, condition } = wish;
  if (key === '') return new S3Error('InvalidArgument', 'The key is empty.');
  if (utf8(key).length > KEY_BYTES_MAX) return new S3Error('KeyTooLongError');
  try {
    const versionId = wish.versionId === undefined ? undefined : requireVersionId(wish.versionId);
    const operation = operationOf(call, `${String(index)}/${key}`);
    return await remove(call, { bucket, key, versionId }, condition, operation);
  } catch (error) {
    // What may not be deleted is an entry, too; that there is no bucket is not.
    const isEntry = isOperationError(error) || (error instanceof S3Error && error.code !== 'NoSuchBucket');
    if (isEntry) return toS3Error(error);
    throw error;
  }
}

function errorElement({ key, versionId }: Wish, { code, message }: S3Error): Element {
  return element('Error', [
    element('Key', key),
    ...optional('VersionId', versionId),
    element('Code', code),
    element('Message', message),
  ]);
}

function deletedElement({ key, versionId }: Wish, deleted: Deleted): Element {
  return element('Deleted', [
    element('Key', key),
    ...optional('VersionId', versionId),
    ...(deleted.isDeleteMarker
      ? [element('DeleteMarker', true), ...optional('DeleteMarkerVersionId', deleted.versionId)]
      : []),
  ]);
}

export const deleteObjects: Feature = async (call) => {
  const bucket = bucketOf(call);
  if (!hasChecksum(call.headers))
    throw new S3Error('InvalidRequest', 'Content-MD5 or x-amz-checksum- is required.');
  bypassesGovernance(call.headers);
  const { wishes, quiet } = parse(await readAll(call.content(XML_LIST_BYTES_MAX)));
  const found = await call.store.readBucket(bucket);
  if (found.outcome !== 'found') throw refusal(found.outcome);
  const results = new Map<Wish, S3Error | Deleted>();
  const waiting = wishes.entries();
  const worker = async (): Promise<void> => {
    for (const [i, wish] of waiting) results.set(wish, await deleteOne(call, bucket, wish, i));
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_DELETES, wishes.length) }, worker));
  const answers = wishes.flatMap((wish) => {
    const result = results.get(wish);
    if (result instanceof S3Error) return [errorElement(wish, result)];
    return quiet || result === undefined ? [] : [deletedElement(wish, result)];
  });
  return xmlResponse(200, element('DeleteResult', answers));
};
