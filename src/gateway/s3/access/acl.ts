/**
 * Access control lists: who was granted what of a bucket or an object, beside its owner. The form in which
 * they are kept is JSON of one line; nothing kept means that the owner is alone.
 */
import { z } from 'zod';
import { isCanonicalId } from '../port/canonical-id.ts';

export const PERMISSIONS = ['READ', 'WRITE', 'READ_ACP', 'WRITE_ACP', 'FULL_CONTROL'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** Groups by the last part of their URI. */
export const GROUPS = {
  'all-users': 'http://acs.amazonaws.com/groups/global/AllUsers',
  'authenticated-users': 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers',
  'log-delivery': 'http://acs.amazonaws.com/groups/s3/LogDelivery',
} as const;
export type Group = keyof typeof GROUPS;

/** A canonical id, or a group. */
export type Grantee = { readonly kind: 'account'; readonly id: string } | { readonly kind: 'group'; readonly group: Group };

export interface Grant {
  readonly grantee: Grantee;
  readonly permission: Permission;
}

export const GRANTS_MAX = 100;

const isGroup = (name: string): name is Group => Object.hasOwn(GROUPS, name);

const grantSchema = z
  .tuple([z.string().refine((name) => isGroup(name) || isCanonicalId(name)), z.enum(PERMISSIONS)])
  .transform(([name, permission]): Grant => ({
    grantee: isGroup(name) ? { kind: 'group', group: name } : { kind: 'account', id: name },
    permission,
  }));
const documentSchema = z.strictObject({ v: z.literal(1), grants: z.array(grantSchema).max(GRANTS_MAX) });

/** As it is kept; undefined for grants that say no more than that the owner has everything. */
export function encodeGrants(grants: readonly Grant[], owner: string): string | undefined {
  const [first] = grants;
  const isDefault =
    grants.length === 1 &&
    first?.permission === 'FULL_CONTROL' &&
    first.grantee.kind === 'account' &&
    first.grantee.id === owner;
  if (isDefault) return undefined;
  const rows = grants.map(({ grantee, permission }) => [
    grantee.kind === 'group' ? grantee.group : grantee.id,
    permission,
  ]);
  return JSON.stringify({ v: 1, grants: rows });
}

/** What `encodeGrants` wrote; undefined for anything else, which grants nothing to anybody. */
export function decodeGrants(text: string | undefined, owner: string): readonly Grant[] | undefined {
  if (text === undefined) return [{ grantee: { kind: 'account', id: owner }, permission: 'FULL_CONTROL' }];
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = documentSchema.safeParse(json);
  return parsed.success ? parsed.data.grants : undefined;
}

const everybody = (permission: Permission, group: Group = 'all-users'): Grant => ({
  grantee: { kind: 'group', group },
  permission,
});

export const CANNED_ACLS = [
  'private',
  'public-read',
  'public-read-write',
  'authenticated-read',
  'bucket-owner-read',
  'bucket-owner-full-control',
  'log-delivery-write',
] as const;
export type CannedAcl = (typeof CANNED_ACLS)[number];

/** Groups stand before the owner, as S3 lists them. */
export function cannedGrants(canned: CannedAcl, owner: string, bucketOwner: string): readonly Grant[] {
  const full = (id: string): Grant => ({ grantee: { kind: 'account', id }, permission: 'FULL_CONTROL' });
  const read: Grant = { grantee: { kind: 'account', id: bucketOwner }, permission: 'READ' };
  const isOthers = owner !== bucketOwner;
  switch (canned) {
    case 'private':
      return [full(owner)];
    case 'public-read':
      return [everybody('READ'), full(owner)];
    case 'public-read-write':
      return [everybody('READ'), everybody('WRITE'), full(owner)];
    case 'authenticated-read':
      return [everybody('READ', 'authenticated-users'), full(owner)];
    case 'bucket-owner-read':
      return isOthers ? [full(owner), read] : [full(owner)];
    case 'bucket-owner-full-control':
      return isOthers ? [full(owner), full(bucketOwner)] : [full(owner)];
    case 'log-delivery-write':
      return [everybody('WRITE', 'log-delivery'), everybody('READ_ACP', 'log-delivery'), full(owner)];
  }
}

/** Granted to everybody, or to everybody with an account: public, by Amazon's definition. */
export function isPublicGrant({ grantee }: Grant): boolean {
  return grantee.kind === 'group' && grantee.group !== 'log-delivery';
}

function isFor({ grantee }: Grant, accountId: string | undefined): boolean {
  if (grantee.kind === 'account') return grantee.id === accountId;
  return grantee.group === 'all-users' || (grantee.group === 'authenticated-users' && accountId !== undefined);
}

const BUCKET_ACTIONS: Readonly<Record<Permission, readonly string[]>> = {
  READ: ['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads'],
  WRITE: ['s3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
  READ_ACP: ['s3:GetBucketAcl'],
  WRITE_ACP: ['s3:PutBucketAcl'],
  FULL_CONTROL: [],
};

const OBJECT_ACTIONS: Readonly<Record<Permission, readonly string[]>> = {
  READ: ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectAttributes', 's3:GetObjectVersionAttributes'],
  // Whoever may replace an object was granted that on its bucket: on the object itself it means nothing.
  WRITE: [],
  READ_ACP: ['s3:GetObjectAcl', 's3:GetObjectVersionAcl'],
  WRITE_ACP: ['s3:PutObjectAcl', 's3:PutObjectVersionAcl'],
  FULL_CONTROL: [],
};

/** Do the grants on a bucket or an object give this action to this account (undefined: to anonymous)? */
export function grantsPermit(
  level: 'bucket' | 'object',
  grants: readonly Grant[],
  accountId: string | undefined,
  action: string,
): boolean {
  const table = level === 'bucket' ? BUCKET_ACTIONS : OBJECT_ACTIONS;
  return grants.some((grant) => {
    if (!isFor(grant, accountId)) return false;
    const permissions = grant.permission === 'FULL_CONTROL' ? PERMISSIONS : [grant.permission];
    return permissions.some((permission) => table[permission].includes(action));
  });
}
