/**
 * ACLs as requests say them, by canned name, by grant headers or as a document, and as answers show them.
 * Grantees must be accounts that there are: a grant to nobody would look like one to somebody.
 */
import { S3Error } from '../http/errors.ts';
import type { Headers } from '../http/headers.ts';
import { textOfBytes } from '../http/headers.ts';
import type { AccountDirectory } from '../auth/principal.ts';
import { element, fields, readXml, requiredText } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';
import { CANNED_ACLS, cannedGrants, GRANTS_MAX, GROUPS, PERMISSIONS } from './acl.ts';
import type { CannedAcl, Grant, Grantee, Group, Permission } from './acl.ts';

const GRANT_HEADERS: readonly (readonly [header: string, permission: Permission])[] = [
  ['x-amz-grant-read', 'READ'],
  ['x-amz-grant-write', 'WRITE'],
  ['x-amz-grant-read-acp', 'READ_ACP'],
  ['x-amz-grant-write-acp', 'WRITE_ACP'],
  ['x-amz-grant-full-control', 'FULL_CONTROL'],
];

/** What operations that take an ACL understand of it, for their rows in operations.ts. */
export const ACL_HEADERS: readonly string[] = ['x-amz-acl', ...GRANT_HEADERS.map(([header]) => header)];

/** Whose ACL it is to be. */
export interface AclOwner {
  readonly owner: string;
  readonly bucketOwner: string;
}

export function hasGrantHeaders(headers: Headers): boolean {
  return GRANT_HEADERS.some(([header]) => headers.has(header));
}

/** Of x-amz-acl; throws InvalidArgument for a name that S3 does not know. */
export function cannedAclOf(headers: Headers): CannedAcl | undefined {
  const name = headers.get('x-amz-acl');
  if (name === undefined) return undefined;
  const known = CANNED_ACLS.find((canned) => canned === name);
  if (known === undefined) throw new S3Error('InvalidArgument', 'x-amz-acl is not a canned ACL.');
  return known;
}

/** The grants that headers ask for; undefined when they ask for none. */
export async function grantsOfHeaders(
  headers: Headers,
  { owner, bucketOwner }: AclOwner,
  accounts: AccountDirectory,
): Promise<readonly Grant[] | undefined> {
  const canned = cannedAclOf(headers);
  if (canned !== undefined) {
    if (hasGrantHeaders(headers))
      throw new S3Error('InvalidRequest', 'A canned ACL and grants cannot be given together.');
    return cannedGrants(canned, owner, bucketOwner);
  }
  if (!hasGrantHeaders(headers)) return undefined;
  const grants: Grant[] = [];
  for (const [header, permission] of GRANT_HEADERS) {
    const value = headers.get(header);
    if (value === undefined) continue;
    for (const text of value.split(','))
      grants.push({ grantee: await granteeOfText(textOfBytes(text.trim()) ?? '', accounts), permission });
  }
  return inOrder(grants);
}

/** `id="..."`, `uri="..."` or `emailAddress="..."`; the quotes may be left out. */
async function granteeOfText(text: string, accounts: AccountDirectory): Promise<Grantee> {
  const match = /^(id|uri|emailAddress)=(?:"([^"]*)"|([^"]*))$/i.exec(text);
  const value = match?.[2] ?? match?.[3] ?? '';
  switch (match?.[1]?.toLowerCase()) {
    case 'id':
      return await granteeById(value, accounts);
    case 'uri':
      return granteeByUri(value);
    case 'emailaddress':
      return await granteeByEmail(value, accounts);
    default:
      throw new S3Error('InvalidArgument', 'A grant must be id="...", uri="..." or emailAddress="...".');
  }
}

async function granteeById(id: string, accounts: AccountDirectory): Promise<Grantee> {
  const account = await accounts.byId(id);
  if (account === undefined) throw new S3Error('InvalidArgument', 'Invalid id of a grantee.');
  return { kind: 'account', id: account.id };
}

async function granteeByEmail(email: string, accounts: AccountDirectory): Promise<Grantee> {
  const account = await accounts.byEmail(email);
  if (account === undefined) throw new S3Error('UnresolvableGrantByEmailAddress');
  return { kind: 'account', id: account.id };
}

function granteeByUri(uri: string): Grantee {
  const found = Object.entries(GROUPS).find(([, known]) => known === uri);
  if (found === undefined) throw new S3Error('InvalidArgument', 'Invalid group uri of a grantee.');
  return { kind: 'group', group: found[0] as Group };
}

/** Groups first, as S3 lists them; bounded. */
function inOrder(grants: readonly Grant[]): readonly Grant[] {
  if (grants.length > GRANTS_MAX)
    throw new S3Error('InvalidRequest', `An ACL has at most ${String(GRANTS_MAX)} grants.`);
  const isGroup = ({ grantee }: Grant): boolean => grantee.kind === 'group';
  return [...grants.filter(isGroup), ...grants.filter((grant) => !isGroup(grant))];
}

const malformed = (message?: string): S3Error => new S3Error('MalformedACLError', message);

/** The grants of an AccessControlPolicy document, which must name the owner that there is. */
export async function grantsOfDocument(
  document: Uint8Array,
  owner: string,
  accounts: AccountDirectory,
): Promise<readonly Grant[]> {
  const root = fields(aclRoot(document), ['Owner', 'AccessControlList']);
  if (root.Owner === undefined || root.AccessControlList === undefined) throw malformed();
  const named = fields(root.Owner, ['ID', 'DisplayName']);
  if (textOf(named.ID) !== owner) throw new S3Error('AccessDenied', 'The owner cannot be changed.');
  const rows = root.AccessControlList.children;
  if (rows.length > GRANTS_MAX) throw malformed(`An ACL has at most ${String(GRANTS_MAX)} grants.`);
  const grants: Grant[] = [];
  for (const row of rows) {
    if (row.name !== 'Grant') throw malformed();
    const { Grantee: who, Permission: what } = fields(row, ['Grantee', 'Permission']);
    const permission = PERMISSIONS.find((known) => known === textOf(what));
    if (who === undefined || permission === undefined) throw malformed();
    grants.push({ grantee: await granteeOfElement(who, accounts), permission });
  }
  return inOrder(grants);
}

function aclRoot(document: Uint8Array): ReadElement {
  try {
    return readXml(document, 'AccessControlPolicy');
  } catch (error) {
    if (error instanceof S3Error && error.code === 'MalformedXML') throw malformed(error.message);
    throw error;
  }
}

function textOf(child: ReadElement | undefined): string {
  return child === undefined ? '' : requiredText(child.name, child);
}

async function granteeOfElement(who: ReadElement, accounts: AccountDirectory): Promise<Grantee> {
  const { ID, URI, EmailAddress } = fields(who, ['ID', 'DisplayName', 'URI', 'EmailAddress']);
  const given = [ID, URI, EmailAddress].filter((child) => child !== undefined);
  if (given.length !== 1) throw malformed('A grantee has one of ID, URI and EmailAddress.');
  if (ID !== undefined) return await granteeById(textOf(ID), accounts);
  if (URI !== undefined) return granteeByUri(textOf(URI));
  return await granteeByEmail(textOf(EmailAddress), accounts);
}

/** Owner and grants as GetBucketAcl and GetObjectAcl answer them. */
export async function aclElement(
  owner: string,
  grants: readonly Grant[],
  accounts: AccountDirectory,
): Promise<Element> {
  const rows: Element[] = [];
  for (const { grantee, permission } of grants)
    rows.push(element('Grant', [await granteeElement(grantee, accounts), element('Permission', permission)]));
  return element('AccessControlPolicy', [
    element('Owner', await identity(owner, accounts)),
    element('AccessControlList', rows),
  ]);
}

/** ID and DisplayName; an account that is gone is shown by its id. */
export async function identity(id: string, accounts: AccountDirectory): Promise<readonly Element[]> {
  const account = await accounts.byId(id);
  return [element('ID', id), element('DisplayName', account?.displayName ?? id)];
}

async function granteeElement(grantee: Grantee, accounts: AccountDirectory): Promise<Element> {
  const typed = (type: string): string =>
    `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="${type}"`;
  if (grantee.kind === 'group')
    return { ...element('Grantee', [element('URI', GROUPS[grantee.group])]), attributes: typed('Group') };
  return { ...element('Grantee', await identity(grantee.id, accounts)), attributes: typed('CanonicalUser') };
}
