/**
 * What a condition may ask about, by its key in lower case. A key outside this list would be absent from
 * every request, and a denial that depends on it would never deny: such a policy is refused.
 */

export type KeyKind =
  /** One value. */
  | 'single'
  /** Any number of values. */
  | 'several'
  /**
   * Known to Amazon, without meaning here: no request has it. A denial that needs it would never deny and is
   * refused, too.
   */
  | 'absent';

const SINGLE = `
aws:currenttime aws:epochtime aws:principalaccount aws:principaltype aws:referer aws:securetransport
aws:sourceip aws:useragent aws:userid aws:username s3:authtype s3:delimiter s3:if-match s3:if-none-match
s3:max-keys s3:object-lock-legal-hold s3:object-lock-mode
s3:object-lock-remaining-retention-days s3:object-lock-retain-until-date s3:prefix
s3:resourceaccount s3:signatureage s3:signatureversion s3:versionid s3:x-amz-acl s3:x-amz-content-sha256
s3:x-amz-copy-source s3:x-amz-grant-full-control s3:x-amz-grant-read s3:x-amz-grant-read-acp
s3:x-amz-grant-write s3:x-amz-grant-write-acp s3:x-amz-metadata-directive s3:x-amz-object-ownership
s3:x-amz-server-side-encryption s3:x-amz-server-side-encryption-aws-kms-key-id
s3:x-amz-server-side-encryption-customer-algorithm s3:x-amz-storage-class s3:x-amz-website-redirect-location
`;

const ABSENT = `
aws:calledvia aws:multifactorauthage aws:multifactorauthpresent aws:principalarn aws:principalisawsservice
aws:principalorgid aws:principalorgpaths aws:principalservicename aws:requestedregion aws:sourceaccount
aws:sourcearn aws:sourceorgid aws:sourceowner aws:sourcevpc aws:sourcevpce aws:tokenissuetime
aws:viaawsservice aws:vpcsourceip s3:accesspointnetworkorigin s3:dataaccesspointaccount
s3:dataaccesspointarn s3:locationconstraint s3:objectcreationoperation s3:tlsversion
`;

const KINDS: ReadonlyMap<string, KeyKind> = new Map([
  ...SINGLE.trim()
    .split(/\s+/)
    .map((key) => [key, 'single'] as const),
  ...ABSENT.trim()
    .split(/\s+/)
    .map((key) => [key, 'absent'] as const),
  ['s3:requestobjecttagkeys', 'several'],
]);

/** Families with a tag's key behind the slash, in which case counts. */
export const EXISTING_TAG = 's3:existingobjecttag/';
export const REQUEST_TAG = 's3:requestobjecttag/';

/** The key as policies and requests compare it. */
export function normalKey(key: string): string {
  const slash = key.indexOf('/');
  return slash < 0 ? key.toLowerCase() : key.slice(0, slash).toLowerCase() + key.slice(slash);
}

/** Of a key in its normal form; undefined: unknown. */
export function kindOfKey(key: string): KeyKind | undefined {
  const isTag = [EXISTING_TAG, REQUEST_TAG].some((family) => key.startsWith(family) && key.length > family.length);
  return isTag ? 'single' : KINDS.get(key);
}
