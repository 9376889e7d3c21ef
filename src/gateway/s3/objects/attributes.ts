/** Attributes of versions: those a new one is given by its request's headers, and what GET and HEAD say of them. */
import type { HeaderField } from '../../../base/http.ts';
import type { NewObjectAccess } from '../access/new-object.ts';
import type { Call } from '../call.ts';
import { lockHeadersOf, lockResponseHeaders } from '../lock/lock-headers.ts';
import type { ObjectAttributes } from '../port/objects.ts';
import { tagsOfHeader } from '../tags/tags.ts';

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
