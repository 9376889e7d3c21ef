/** GetObjectAttributes: what is known of a version, and of its parts a page. */
import { httpTime } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { checksumRow } from '../checksums/checksums.ts';
import type { Checksum } from '../checksums/checksums.ts';
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { ObjectPart } from '../port/objects.ts';
import { customerKeyOf, requireKeyOf } from './sealing.ts';
import { element, optional, xmlResponse } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';
import { missing, versionAddressOf, versionHeaders } from '../versions/version-id.ts';

const ATTRIBUTES = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const;
type Attribute = (typeof ATTRIBUTES)[number];
const PARTS_PER_PAGE_MAX = 1000;

/** The attributes that x-amz-object-attributes names, of one or several fields. Throws S3Error. */
export function parseAttributes(header: string | undefined): ReadonlySet<Attribute> {
  const names = (header ?? '').split(',').map((name) => name.trim());
  const known = names.map((name) => ATTRIBUTES.find((attribute) => attribute === name));
  if (known.includes(undefined)) throw new S3Error('InvalidArgument', 'Invalid attribute name specified.');
  return new Set(known as Attribute[]);
}

function integerHeader(headers: Headers, name: string, max: number, fallback: number): number {
  const text = headers.get(name);
  if (text === undefined) return fallback;
  if (!/^\d{1,10}$/.test(text)) throw new S3Error('InvalidArgument', `${name} is not valid.`);
  return Math.min(Number(text), max);
}

function checksumElements(checksum: Checksum | undefined): Element[] {
  return checksum === undefined ? [] : [element(checksumRow(checksum.algorithm).element, checksum.value)];
}

/** A page of the parts. S3 lists only parts that have checksums; here all are shown. */
function partsElement(call: Call, parts: readonly ObjectPart[]): Element {
  const limit = integerHeader(call.headers, 'x-amz-max-parts', PARTS_PER_PAGE_MAX, PARTS_PER_PAGE_MAX);
  const marker = integerHeader(call.headers, 'x-amz-part-number-marker', 10_000, 0);
  const behind = parts.filter(({ number }) => number > marker);
  const page = behind.slice(0, limit);
  const isTruncated = page.length < behind.length;
  return element('ObjectParts', [
    element('PartsCount', parts.length),
    element('PartNumberMarker', marker),
    ...optional('NextPartNumberMarker', page.at(-1)?.number),
    element('MaxParts', limit),
    element('IsTruncated', isTruncated),
    ...page.map(({ number, size, checksum }) =>
      element('Part', [element('PartNumber', number), element('Size', size), ...checksumElements(checksum)]),
    ),
  ]);
}

export const getObjectAttributes: Feature = async (call) => {
  const asked = parseAttributes(call.headers.get('x-amz-object-attributes'));
  const customerKey = customerKeyOf(call);
  const address = versionAddressOf(call);
  const found = await call.store.objectParts(address);
  if (found.outcome !== 'found') throw missing(found, address);
  const { info, parts } = found;
  requireKeyOf(info, customerKey);
  const { checksum } = info;
  const shown: Readonly<Record<Attribute, readonly Element[]>> = {
    ETag: [element('ETag', info.etag)],
    Checksum:
      checksum === undefined
        ? []
        : [element('Checksum', [...checksumElements(checksum), element('ChecksumType', checksum.type)])],
    ObjectParts: parts.length === 0 ? [] : [partsElement(call, parts)],
    StorageClass: [element('StorageClass', 'STANDARD')],
    ObjectSize: [element('ObjectSize', info.size)],
  };
  return xmlResponse(
    200,
    element(
      'GetObjectAttributesResponse',
      ATTRIBUTES.filter((name) => asked.has(name)).flatMap((name) => shown[name]),
    ),
    [['Last-Modified', httpTime(info.lastModifiedMs)], ...versionHeaders(info.versionId)],
  );
};
