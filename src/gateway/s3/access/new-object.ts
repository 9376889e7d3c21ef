/**
 * To whom a new object belongs and what its ACL is, by what the request asks for and what the bucket's
 * ownership controls and public access block allow. Every operation that makes a version asks here.
 */
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import type { ObjectAttributes } from '../port/objects.ts';
import type { AccountDirectory } from '../auth/principal.ts';
import type { Access } from './access.ts';
import { encodeGrants, isPublicGrant } from './acl.ts';
import type { Grant } from './acl.ts';
import { cannedAclOf, grantsOfHeaders, hasGrantHeaders } from './acl-request.ts';
import type { BucketFacts } from './bucket-facts.ts';

export interface NewObjectAccess extends Pick<ObjectAttributes, 'accessControl'> {
  readonly owner: string;
}

/** Throws AccessControlListNotSupported, AccessDenied, InvalidArgument. */
export async function accessOfNewObject(
  access: Access,
  bucket: string,
  headers: Headers,
  accounts: AccountDirectory,
): Promise<NewObjectAccess> {
  const facts = await access.facts(bucket);
  const canned = cannedAclOf(headers);
  if (facts.ownership === 'BucketOwnerEnforced') {
    if (hasGrantHeaders(headers) || (canned !== undefined && canned !== 'bucket-owner-full-control'))
      throw new S3Error('AccessControlListNotSupported');
    return { owner: facts.owner, accessControl: undefined };
  }
  if (facts.ownership === 'BucketOwnerPreferred' && canned === 'bucket-owner-full-control')
    return { owner: facts.owner, accessControl: undefined };
  // What nobody in particular wrote belongs to whom the bucket belongs: not to everybody who is nobody.
  const owner = access.accountId ?? facts.owner;
  const grants = await grantsOfHeaders(headers, { owner, bucketOwner: facts.owner }, accounts);
  if (grants === undefined) return { owner, accessControl: undefined };
  refusePublic(facts, grants);
  return { owner, accessControl: encodeGrants(grants, owner) };
}

/** Throws AccessDenied for public grants where BlockPublicAcls forbids them. */
export function refusePublic({ block }: BucketFacts, grants: readonly Grant[]): void {
  if (block.blockPublicAcls && grants.some(isPublicGrant))
    throw new S3Error('AccessDenied', 'The bucket blocks public ACLs.');
}

/** To whom a delete marker of this request belongs. */
export async function ownerOfMarker(access: Access, bucket: string): Promise<string> {
  const facts = await access.facts(bucket);
  return facts.ownership === 'BucketOwnerEnforced' ? facts.owner : (access.accountId ?? facts.owner);
}
