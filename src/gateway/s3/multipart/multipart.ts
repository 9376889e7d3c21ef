/**
 * Multipart uploads: create, upload a part, list parts, complete, abort. Completing checks the client's list
 * against the parts that the store holds, computes ETag and checksum of the whole from theirs, and hands the
 * store exactly the parts it looked at, so that a part replaced meanwhile is never mixed in.
 */
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { accessOfNewObject } from '../access/new-object.ts';
import { attributesOfNew } from '../objects/attributes.ts';
import { ownerElement } from '../buckets/bucket.ts';
import {
  CHECKSUM_ALGORITHMS,
  CHECKSUMS,
  checksumAlgorithm,
  checksumRow,
  multipartEtag,
} from '../checksums/checksums.ts';
import type { Checksum } from '../checksums/checksums.ts';
import { wholeChecksum } from './complete-checksums.ts';
import { emptyResponse, integerParameter, isoTime, objectOf, operationOf, quoted, refusal } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { headersOfNew } from '../objects/effects.ts';
import { encryptionHeaders } from '../documents/encryption.ts';
import { S3Error } from '../http/errors.ts';
import { checksumHeaders, metadataOf } from '../objects/metadata.ts';
import { customerKeyOf, requireKeyOf, customerKeyHeaders, sealingOf } from '../objects/sealing.ts';
import type { CustomerKey } from '../port/content.ts';
import type { HeadObjectResult } from '../port/objects.ts';
import type { CompleteUploadResult, PartInfo, UploadAddress, UploadInfo } from '../port/uploads.ts';
import { PARTS_MAX, partNumberOf } from '../objects/part-number.ts';
import { OBJECT_BYTES_MAX } from '../objects/put-object.ts';
import {
  element,
  fields,
  isXmlText,
  optional,
  readXml,
  requiredText,
  XML_LIST_BYTES_MAX,
  xmlResponse,
} from '../http/xml.ts';
import type { Element } from '../http/xml.ts';
import { newVersionHeaders } from '../versions/version-id.ts';
import { writeConditionOf } from '../objects/write-conditions.ts';

export const PART_BYTES_MIN = 5 * 1024 * 1024;
const PART_BYTES_MAX = 5 * 1024 ** 3;
const PARTS_PER_PAGE_MAX = 1000;

function addressOf(call: Call): UploadAddress {
  return { ...objectOf(call), uploadId: call.query.get('uploadId') ?? '' };
}

/** The key travels in XML answers of this API, which has no way to encode it. */
function requireXmlKey(key: string): void {
  if (!isXmlText(key))
    throw new S3Error('InvalidArgument', 'This key has characters that a multipart upload cannot carry.');
}

function announcedChecksum(call: Call): UploadInfo['checksum'] {
  const named = call.headers.get('x-amz-checksum-algorithm');
  const type = call.headers.get('x-amz-checksum-type');
  if (named === undefined) {
    if (type !== undefined)
      throw new S3Error('InvalidRequest', 'x-amz-checksum-type needs x-amz-checksum-algorithm.');
    return undefined;
  }
  const algorithm = checksumAlgorithm(named);
  if (algorithm === undefined) throw new S3Error('NotImplemented', 'This checksum algorithm is not built.');
  const row = checksumRow(algorithm);
  const chosen: string = type ?? (row.composite ? 'COMPOSITE' : 'FULL_OBJECT');
  if (chosen === 'COMPOSITE' && row.composite) return { algorithm, type: 'COMPOSITE' };
  if (chosen === 'FULL_OBJECT' && row.combine !== undefined) return { algorithm, type: 'FULL_OBJECT' };
  throw new S3Error('InvalidRequest', `The checksum type cannot be used with ${algorithm}.`);
}

export const createMultipartUpload: Feature = async (call) => {
  const { bucket, key } = objectOf(call);
  requireXmlKey(key);
  const { sse, customerKey } = await sealingOf(call, bucket);
  const metadata = { ...metadataOf(call.headers), sse };
  const checksum = announcedChecksum(call);
  const { owner, accessControl } = await accessOfNewObject(call.access, bucket, call.headers, call.accounts);
  const result = await call.store.createUpload({
    bucket,
    key,
    owner,
    metadata,
    attributes: attributesOfNew(call, { accessControl }),
    customerKey,
    checksum,
    operation: operationOf(call),
  });
  if (result.outcome !== 'created') throw refusal(result.outcome);
  const headers: HeaderField[] = encryptionHeaders(metadata.sse);
  if (checksum !== undefined)
    headers.push(['x-amz-checksum-algorithm', checksum.algorithm], ['x-amz-checksum-type', checksum.type]);
  return xmlResponse(
    200,
    element('InitiateMultipartUploadResult', [
      element('Bucket', bucket),
      element('Key', key),
      element('UploadId', result.uploadId),
    ]),
    [...headers, ...customerKeyHeaders(customerKey?.md5)],
  );
};

/** The store demands the key of an upload that has one; that there is none to bring is for us to say. */
async function partKeyOf(call: Call): Promise<CustomerKey | undefined> {
  const customerKey = customerKeyOf(call);
  if (customerKey === undefined) return undefined;
  const found = await call.store.readUpload({ ...addressOf(call), parts: { above: 0, limit: 0 } });
  if (found.outcome !== 'found') throw refusal(found.outcome);
  requireKeyOf(found.upload, customerKey);
  return customerKey;
}

export const uploadPart: Feature = async (call) => {
  const number = partNumberOf(call);
  const customerKey = await partKeyOf(call);
  const content = call.content(PART_BYTES_MAX);
  const result = await call.store.uploadPart({
    ...addressOf(call),
    number,
    content,
    customerKey,
    operation: operationOf(call),
  });
  if (result.outcome !== 'stored') throw refusal(result.outcome);
  const checksum: HeaderField[] = checksumHeaders(result.checksum).slice(0, 1);
  return emptyResponse(200, [['ETag', quoted(result.etag)], ...checksum, ...customerKeyHeaders(customerKey?.md5)]);
};

export const abortMultipartUpload: Feature = async (call) => {
  const result = await call.store.abortUpload(addressOf(call), operationOf(call));
  if (result.outcome !== 'aborted') throw refusal(result.outcome);
  return emptyResponse(204);
};

function checksumElement(checksum: Checksum | undefined): Element[] {
  return checksum === undefined ? [] : [element(checksumRow(checksum.algorithm).element, checksum.value)];
}

export const listParts: Feature = async (call) => {
  const address = addressOf(call);
  const marker = integerParameter(call.query, 'part-number-marker', 0, PARTS_MAX, 0);
  const limit = integerParameter(call.query, 'max-parts', 0, PARTS_PER_PAGE_MAX, PARTS_PER_PAGE_MAX);
  const found = await call.store.readUpload({ ...address, parts: { above: marker, limit: limit === 0 ? 0 : limit + 1 } });
  if (found.outcome !== 'found') throw refusal(found.outcome);
  const page = found.parts.slice(0, limit);
  const isTruncated = found.parts.length > page.length;
  const { checksum } = found.upload;
  return xmlResponse(
    200,
    element('ListPartsResult', [
      element('Bucket', address.bucket),
      element('Key', address.key),
      element('UploadId', address.uploadId),
      await ownerElement(call, found.upload.owner),
      element('StorageClass', 'STANDARD'),
      ...optional('ChecksumAlgorithm', checksum?.algorithm),
      ...optional('ChecksumType', checksum?.type),
      element('PartNumberMarker', marker),
      // Only where there is more: some clients go on as long as they are told where.
      ...optional('NextPartNumberMarker', isTruncated ? page.at(-1)?.number : undefined),
      element('MaxParts', limit),
      element('IsTruncated', isTruncated),
      ...page.map((part) =>
        element('Part', [
          element('PartNumber', part.number),
          element('LastModified', isoTime(part.lastModifiedMs)),
          element('ETag', quoted(part.etag)),
          ...checksumElement(part.checksum),
          element('Size', part.size),
        ]),
      ),
    ]),
  );
};

/** A part as the client names it when completing. */
interface NamedPart {
  readonly number: number;
  readonly etag: string;
  readonly checksums: readonly (readonly [element: string, value: string])[];
}

const CHECKSUM_ELEMENTS = CHECKSUM_ALGORITHMS.map((algorithm) => CHECKSUMS[algorithm].element);

function parseParts(document: Uint8Array): NamedPart[] {
  const parts: NamedPart[] = [];
  for (const child of readXml(document, 'CompleteMultipartUpload').children) {
    if (child.name !== 'Part') throw new S3Error('MalformedXML');
    const known = fields(child, ['PartNumber', 'ETag', ...CHECKSUM_ELEMENTS]);
    const text = requiredText('PartNumber', known.PartNumber).trim();
    if (!/^\d{1,5}$/.test(text)) throw new S3Error('MalformedXML', 'PartNumber is not a number.');
    const number = Number(text);
    if (number <= (parts.at(-1)?.number ?? 0)) throw new S3Error('InvalidPartOrder');
    const etag = requiredText('ETag', known.ETag)
      .trim()
      .replace(/^"(.*)"$/, '$1');
    const checksums = CHECKSUM_ELEMENTS.flatMap((name) => {
      const found = known[name];
      return found === undefined ? [] : [[name, requiredText(name, found).trim()] as const];
    });
    parts.push({ number, etag, checksums });
  }
  if (parts.length === 0 || parts.length > PARTS_MAX)
    throw new S3Error('MalformedXML', 'Name 1 to 10000 parts.');
  return parts;
}

/**
 * The stored parts that the client names, each equal in ETag and checksum to what it names. Throws S3Error.
 */
function chooseParts(named: readonly NamedPart[], stored: readonly PartInfo[]): PartInfo[] {
  const byNumber = new Map(stored.map((part) => [part.number, part]));
  return named.map((name, i) => {
    const part = byNumber.get(name.number);
    const detail = [['PartNumber', String(name.number)]] as const;
    if (part === undefined || part.etag !== name.etag) throw new S3Error('InvalidPart', undefined, detail);
    for (const [elementName, value] of name.checksums) {
      const known = part.checksum;
      if (
        known === undefined ||
        checksumRow(known.algorithm).element !== elementName ||
        known.value !== value
      ) {
        throw new S3Error('InvalidPart', undefined, detail);
      }
    }
    if (i < named.length - 1 && part.size < PART_BYTES_MIN)
      throw new S3Error('EntityTooSmall', undefined, detail);
    return part;
  });
}

type Made = Parameters<typeof headersOfNew>[3];

/** `made`: what the new object is like, where that is known. */
async function completedResponse(
  call: Call,
  address: UploadAddress,
  result: CompleteUploadResult,
  made: Omit<Made, 'lastModifiedMs'> | undefined,
): Promise<HttpResponse> {
  if (result.outcome === 'changed')
    throw new S3Error('InvalidPart', 'A part was replaced while the upload was completed.');
  if (result.outcome !== 'stored') throw refusal(result.outcome);
  const { checksum, lastModifiedMs } = result;
  const { bucket, key } = address;
  const about = made === undefined ? [] : await headersOfNew(call, bucket, key, { ...made, lastModifiedMs });
  return xmlResponse(
    200,
    element('CompleteMultipartUploadResult', [
      element('Location', `${call.origin}${call.rawPath}`),
      element('Bucket', address.bucket),
      element('Key', address.key),
      element('ETag', quoted(result.etag)),
      ...checksumElement(checksum),
      ...optional('ChecksumType', checksum?.type),
    ]),
    [...newVersionHeaders(result.versionId), ...about],
  );
}

/** The version that was made; undefined when it is not there any more, or not the client's to read. */
async function readMade(
  call: Call,
  { bucket, key }: UploadAddress,
  versionId: string | undefined,
): Promise<Extract<HeadObjectResult, { outcome: 'found' }>['info'] | undefined> {
  const found = await call.store.headObject({ bucket, key, versionId }).catch((error: unknown) => {
    // Who may write and not read is told what there is to know without looking.
    if (error instanceof S3Error && error.code === 'AccessDenied') return undefined;
    throw error;
  });
  return found?.outcome === 'found' ? found.info : undefined;
}

/** The answer to a client that asks once more: what it was told the first time. */
async function repeatedResponse(call: Call, address: UploadAddress, found: CompleteUploadResult): Promise<HttpResponse> {
  const earlier = await call.completedAgain(address, found);
  const info = earlier.outcome === 'stored' ? await readMade(call, address, earlier.versionId) : undefined;
  const isSame = earlier.outcome === 'stored' && info?.etag === earlier.etag;
  const made = isSame ? { size: info.size, tags: info.attributes.tags, sse: info.metadata.sse } : undefined;
  return completedResponse(call, address, earlier, made);
}

/**
 * A client that completes an upload once more under another invocation is told what it is told the first
 * time, as long as the newest version is exactly the one that its list of parts makes.
 */
async function alreadyCompleted(
  call: Call,
  address: UploadAddress,
  named: readonly NamedPart[],
): Promise<CompleteUploadResult | undefined> {
  if (!named.every(({ etag }) => /^[0-9a-f]{32}$/.test(etag))) return undefined;
  const info = await readMade(call, address, undefined);
  if (info === undefined) return undefined;
  const { etag, checksum, versionId, lastModifiedMs } = info;
  const expected = multipartEtag(named.map((part) => ({ size: 0, etag: part.etag, checksum: undefined })));
  return etag === expected ? { outcome: 'stored', etag, checksum, versionId, lastModifiedMs } : undefined;
}

export const completeMultipartUpload: Feature = async (call) => {
  const address = addressOf(call);
  requireXmlKey(address.key);
  const operation = operationOf(call);
  const named = parseParts(await readAll(call.content(XML_LIST_BYTES_MAX, 'object')));
  const found = await call.store.readUpload(address);
  if (found.outcome === 'no-such-upload' && operation.repeatable) {
    const earlier = await call.store.completedUpload(address, operation);
    if (earlier !== undefined) return repeatedResponse(call, address, earlier);
  }
  if (found.outcome === 'no-such-upload') {
    const done = await alreadyCompleted(call, address, named);
    if (done !== undefined) return repeatedResponse(call, address, done);
  }
  if (found.outcome !== 'found') throw refusal(found.outcome);
  const customerKey = customerKeyOf(call);
  // As S3 has it: an upload under a key of the customer is completed with that key where it has a checksum.
  if (customerKey !== undefined || found.upload.checksum !== undefined) requireKeyOf(found.upload, customerKey);
  const parts = chooseParts(named, found.parts);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const announced = call.headers.get('x-amz-mp-object-size');
  if (announced !== undefined && announced !== String(size)) {
    throw new S3Error('InvalidRequest', 'x-amz-mp-object-size is not the sum of the parts.');
  }
  if (size > OBJECT_BYTES_MAX) throw new S3Error('EntityTooLarge');
  const checksum = wholeChecksum(call.headers, found.upload.checksum, parts);
  const etag = multipartEtag(
    parts.map((part) => ({ size: part.size, etag: part.etag, checksum: undefined })),
  );
  const result = await call.store.completeUpload({
    ...address,
    parts,
    etag,
    checksum,
    condition: writeConditionOf(call.headers),
    operation,
  });
  const { metadata, attributes } = found.upload;
  return completedResponse(call, address, result, { size, tags: attributes.tags, sse: metadata.sse });
};
