/**
 * Attributes of versions: those a new one is given by its request's headers, and the one way in which
 * features read and change them later.
 */
import type { HeaderField } from '../../../base/http.ts';
import type { NewObjectAccess } from '../access/new-object.ts';
import { refusal } from '../call.ts';
import type { Call } from '../call.ts';
import { lockHeadersOf, lockResponseHeaders } from '../lock/lock-headers.ts';
import type { OperationId } from '../port/content.ts';
import type { AttributesChange, ObjectAttributes, ObjectInfo } from '../port/objects.ts';
import { tagsOfHeader } from '../tags/tags.ts';
import { missing, versionAddressOf } from './version-id.ts';

/** Request headers that give a new version its attributes, besides its ACL. */
export const ATTRIBUTE_HEADERS = [
  'x-amz-object-lock-legal-hold',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-tagging',
] as const;

/** Throws S3Error for headers that do not say what they should. */
export function attributesOfNew(
  call: Pick<Call, 'headers' | 'access'>,
  { accessControl }: Pick<NewObjectAccess, 'accessControl'>,
): ObjectAttributes {
  const lock = lockHeadersOf(call.headers, call.access.options.request.nowMs);
  return { tags: tagsOfHeader(call.headers) ?? [], accessControl, ...lock };
}

/** What GET and HEAD say of a version's attributes. */
export function attributeHeaders({ tags, retention, legalHold }: ObjectAttributes): readonly HeaderField[] {
  const count: HeaderField[] = tags.length === 0 ? [] : [['x-amz-tagging-count', String(tags.length)]];
  return [...lockResponseHeaders({ retention, legalHold }), ...count];
}

/** The version that the request names. Throws S3Error when there is none. */
export async function readVersion(call: Call): Promise<ObjectInfo> {
  const address = versionAddressOf(call);
  const found = await call.store.headObject(address);
  if (found.outcome !== 'found') throw missing(found, address);
  return found.info;
}

/** Changes the version that the request names and gives its id. Throws S3Error unless it was done. */
export async function changeAttributes(
  call: Call,
  change: AttributesChange,
  operation: OperationId,
): Promise<string | undefined> {
  const address = versionAddressOf(call);
  const result = await call.store.changeAttributes({ ...address, change, operation });
  switch (result.outcome) {
    case 'changed':
      return result.versionId;
    case 'no-such-bucket':
    case 'no-such-key':
    case 'no-such-version':
    case 'delete-marker':
      throw missing(result, address);
    case 'lock-disabled':
    case 'locked':
    case 'unknown':
      throw refusal(result.outcome);
  }
}
