/**
 * Version ids in requests and answers. An id is the store's and opaque here: it is bounded, handed on, and
 * given back in x-amz-version-id. What is said of a delete marker depends on whether it was asked for by id.
 */
import type { HeaderField } from '../../../base/http.ts';
import { httpTime, objectOf, refusal } from '../call.ts';
import type { Call } from '../call.ts';
import { S3Error } from '../http/errors.ts';
import { NULL_VERSION } from '../port/objects.ts';
import type { Missing, VersionAddress } from '../port/objects.ts';
import type { CustomerKeyFault } from '../port/outcomes.ts';

const VERSION_ID_LENGTH_MAX = 1024;

/** Throws S3Error InvalidArgument for what no store ever gave out. */
export function requireVersionId(text: string): string {
  if (text === '') throw new S3Error('InvalidArgument', 'Version id cannot be the empty string.');
  if (text.length > VERSION_ID_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(text))
    throw new S3Error('InvalidArgument', 'Invalid version id specified.');
  return text;
}

/** The version that the request is about; without an id the newest. */
export function versionAddressOf(call: Call): VersionAddress {
  const text = call.query.get('versionId');
  return { ...objectOf(call), versionId: text === undefined ? undefined : requireVersionId(text) };
}

export function versionHeaders(versionId: string | undefined): readonly HeaderField[] {
  return versionId === undefined ? [] : [['x-amz-version-id', versionId]];
}

/** Of a write. S3 names the version made only while versions are kept, not the null version of a suspended bucket. */
export function newVersionHeaders(versionId: string | undefined): readonly HeaderField[] {
  return versionId === NULL_VERSION ? [] : versionHeaders(versionId);
}

/**
 * Why there is nothing to read or change. A delete marker that hides the key looks like a missing key; one
 * asked for by its id is there, and deleting is all that can be done with it.
 */
export function missing(
  result: Missing | CustomerKeyFault,
  { versionId }: Pick<VersionAddress, 'versionId'>,
): S3Error {
  // Ceph's clients read from the header that nothing hides the key; S3 leaves it away and means the same.
  if (result.outcome === 'no-such-key')
    return new S3Error('NoSuchKey', undefined, [], [['x-amz-delete-marker', 'false']]);
  if (result.outcome !== 'delete-marker') return refusal(result.outcome);
  const headers: HeaderField[] = [['x-amz-delete-marker', 'true'], ...versionHeaders(result.versionId)];
  if (versionId === undefined) return new S3Error('NoSuchKey', undefined, [], headers);
  headers.push(['Last-Modified', httpTime(result.lastModifiedMs)], ['Allow', 'DELETE']);
  return new S3Error('MethodNotAllowed', undefined, [['ResourceType', 'DeleteMarker']], headers);
}
