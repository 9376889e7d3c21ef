/**
 * `holdfast access`: accounts and access keys of a gateway. Works on the files of the gateway's folder, with
 * or without a gateway running; one that runs sees a change within a second. A secret is shown once, when it
 * is made, and can be had from nowhere else.
 */
import { OperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';
import { S3Error } from '../gateway/s3/http/errors.ts';
import { isCanonicalId } from '../gateway/s3/port/canonical-id.ts';
import { parsePolicy, POLICY_BYTES_MAX } from '../gateway/s3/policy/parse.ts';
import { encodeAccessKeys } from '../keyring/access-keys.ts';
import { newAccount, newRegisteredKey } from '../keyring/access-register.ts';
import type { AccessRegister, RegisteredAccount, RegisteredKey } from '../keyring/access-register.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { NodeDisk } from '../platform/disk.ts';
import { changeAccess, readAccessRegister, readKeyUse, writeAccessRegister } from './access-folder.ts';
import { ownerFolder } from './cluster-folder.ts';
import { OWNER_NAME } from './file-credentials.ts';
import { readAccessKeys, readRootSecret } from './gateway-folder.ts';
import { readGivenFile } from './given-file.ts';
import { ACCESS_KEYS_FILE, SECRET_MODE } from './identity-folder.ts';
import { systemClock, systemRandom } from './system-ports.ts';
import { formatBytes, formatTable } from './terminal.ts';
import type { Terminal } from './terminal.ts';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;

export interface AccessTarget {
  /** A gateway's folder, or that of `holdfast up`. */
  readonly dir: string;
  readonly terminal: Terminal;
}

export interface KeyTerms {
  /** File of a policy document. */
  readonly policy: string | undefined;
  readonly expiresDays: number | undefined;
  readonly requestsPerSecond: number | undefined;
  readonly bytesPerSecond: number | undefined;
}

export interface CreateAccess extends AccessTarget, KeyTerms {
  /** Id or name; a name that is not there yet becomes an account. */
  readonly account: string | undefined;
  readonly email: string | undefined;
}

async function ownerIdOf(disk: Disk): Promise<string> {
  return new OwnerKeys(await readRootSecret(disk)).ownerId;
}

/** The account meant, made when it is not there; the owner when none is named. */
async function accountFor(
  disk: Disk,
  register: AccessRegister,
  { account, email }: CreateAccess,
): Promise<RegisteredAccount> {
  const ownerId = await ownerIdOf(disk);
  const owner = register.accounts.find(({ id }) => id === ownerId) ?? { id: ownerId, displayName: OWNER_NAME };
  const name = account ?? OWNER_NAME;
  const known = [owner, ...register.accounts].find(({ id, displayName }) => id === name || displayName === name);
  if (known === undefined && isCanonicalId(name)) throw new OperationError('NOT_FOUND', 'There is no account with this id.');
  if (known === undefined) return newAccount(systemRandom, name, email);
  if (email !== undefined && email !== known.email)
    throw new OperationError('ALREADY_EXISTS', 'The account is there already, with another e-mail address or none.');
  return known;
}

/** BAD_ARGUMENT for a policy that would not be enforced as it is written. */
async function readPolicyFile(file: string): Promise<string> {
  const bytes = await readGivenFile(file, 'policy', POLICY_BYTES_MAX, 'BAD_ARGUMENT');
  try {
    parsePolicy(bytes, { kind: 'key' });
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    throw new OperationError('BAD_ARGUMENT', `The policy in ${file} cannot be used: ${error.message}`);
  }
  return new TextDecoder().decode(bytes);
}

async function termsOf(asked: KeyTerms, accountId: string): Promise<Omit<RegisteredKey, 'accessKeyId' | 'secretAccessKey' | 'createdMs'>> {
  const { expiresDays, requestsPerSecond, bytesPerSecond } = asked;
  return {
    accountId,
    ...(asked.policy === undefined ? {} : { policy: await readPolicyFile(asked.policy) }),
    ...(expiresDays === undefined ? {} : { expiresMs: systemClock.nowMs() + expiresDays * DAY_MS }),
    ...(requestsPerSecond === undefined ? {} : { requestsPerSecond }),
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
  };
}

function sayKey(terminal: Terminal, key: RegisteredKey, account: RegisteredAccount, what: string): void {
  const { accessKeyId, secretAccessKey, expiresMs } = key;
  const rows = [
    ['account', `${account.displayName} (${account.id})`],
    ['access key', accessKeyId],
    ['secret', secretAccessKey],
    ...(expiresMs === undefined ? [] : [['expires', new Date(expiresMs).toISOString()]]),
  ];
  terminal.say(
    what,
    { account: account.id, displayName: account.displayName, accessKeyId, secretAccessKey, expiresMs: expiresMs ?? null },
    `${formatTable(rows)}\nThe secret is shown this once.`,
  );
}

export async function accessCreate(asked: CreateAccess): Promise<void> {
  const folder = ownerFolder(asked.dir);
  const disk = new NodeDisk(folder);
  await changeAccess(folder, async () => {
    const register = await readAccessRegister(disk);
    const account = await accountFor(disk, register, asked);
    const key = newRegisteredKey(systemRandom, systemClock.nowMs(), await termsOf(asked, account.id));
    await writeAccessRegister(disk, withKey(withAccount(register, account), key));
    sayKey(asked.terminal, key, account, 'access_key');
  });
}

function withAccount(register: AccessRegister, account: RegisteredAccount): AccessRegister {
  const isKnown = register.accounts.some(({ id }) => id === account.id);
  return isKnown ? register : { ...register, accounts: [...register.accounts, account] };
}

function withKey(register: AccessRegister, key: RegisteredKey): AccessRegister {
  return { ...register, accessKeys: [...register.accessKeys, key] };
}

interface ListedKey {
  readonly accessKeyId: string;
  readonly account: string;
  readonly displayName: string;
  readonly createdMs: number;
  readonly expiresMs: number | null;
  readonly lastUsedMs: number | null;
  readonly requestsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  readonly hasPolicy: boolean;
  readonly requests: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export async function accessList({ dir, terminal }: AccessTarget): Promise<void> {
  const disk = new NodeDisk(ownerFolder(dir));
  const register = await readAccessRegister(disk);
  const uses = await readKeyUse(disk);
  const ownerId = await ownerIdOf(disk);
  const names = new Map([[ownerId, OWNER_NAME], ...register.accounts.map(({ id, displayName }) => [id, displayName] as const)]);
  const first = (await readAccessKeys(disk)).map((key): RegisteredKey => ({ ...key, accountId: ownerId }));
  const listed = [...first, ...register.accessKeys].map((key): ListedKey => {
    const use = uses.get(key.accessKeyId);
    return {
      accessKeyId: key.accessKeyId,
      account: key.accountId,
      displayName: names.get(key.accountId) ?? '',
      createdMs: key.createdMs,
      expiresMs: key.expiresMs ?? null,
      lastUsedMs: use?.lastUsedMs ?? null,
      requestsPerSecond: key.requestsPerSecond ?? null,
      bytesPerSecond: key.bytesPerSecond ?? null,
      hasPolicy: key.policy !== undefined,
      requests: use?.requests ?? 0,
      bytesIn: use?.bytesIn ?? 0,
      bytesOut: use?.bytesOut ?? 0,
    };
  });
  const accounts = register.accounts.map(({ id, displayName, email, quotaBytes }) => ({ id, displayName, email: email ?? null, quotaBytes: quotaBytes ?? null }));
  const quotas = [...accounts.flatMap(({ displayName, quotaBytes }) => (quotaBytes === null ? [] : [['account', displayName, formatBytes(quotaBytes)]])), ...register.bucketQuotas.map(({ bucket, quotaBytes }) => ['bucket', bucket, formatBytes(quotaBytes)])];
  const texts = [
    listed.length === 0 ? 'no access keys' : formatTable(listed.map(rowOf)),
    ...(quotas.length === 0 ? [] : [`\nquotas:\n${formatTable(quotas)}`]),
  ];
  terminal.say('access_keys', { keys: listed, accounts, bucketQuotas: register.bucketQuotas }, texts.join('\n'));
}

function rowOf(key: ListedKey): string[] {
  const limits = [
    ...(key.hasPolicy ? ['policy'] : []),
    ...(key.requestsPerSecond === null ? [] : [`${String(key.requestsPerSecond)} requests/s`]),
    ...(key.bytesPerSecond === null ? [] : [`${formatBytes(key.bytesPerSecond)}/s`]),
    ...(key.expiresMs === null ? [] : [`until ${new Date(key.expiresMs).toISOString()}`]),
  ];
  const used = key.lastUsedMs === null ? 'never used' : `used ${new Date(key.lastUsedMs).toISOString()}`;
  const traffic = key.lastUsedMs === null ? '' : `${formatBytes(key.bytesIn)} in, ${formatBytes(key.bytesOut)} out`;
  return [key.accessKeyId, key.displayName, used, traffic, limits.join(', ')];
}

/** A new key with the terms of the old one, which ends now or after `keepOldHours`. */
export async function accessRotate(asked: AccessTarget & { accessKeyId: string; keepOldHours: number }): Promise<void> {
  const folder = ownerFolder(asked.dir);
  const disk = new NodeDisk(folder);
  await changeAccess(folder, async () => {
    const register = await readAccessRegister(disk);
    const old = await findKey(disk, register, asked.accessKeyId);
    const { accessKeyId, secretAccessKey, createdMs, ...terms } = old;
    const nowMs = systemClock.nowMs();
    const key = newRegisteredKey(systemRandom, nowMs, terms);
    const endsMs = Math.min(old.expiresMs ?? Infinity, nowMs + asked.keepOldHours * HOUR_MS);
    const others = register.accessKeys.filter((known) => known.accessKeyId !== accessKeyId);
    const kept = asked.keepOldHours === 0 ? [] : [{ ...terms, accessKeyId, secretAccessKey, createdMs, expiresMs: endsMs }];
    // The new one first: a crash in between leaves one key too many, never none.
    await writeAccessRegister(disk, { ...register, accessKeys: [...others, ...kept, key] });
    await removeFirstKey(disk, accessKeyId);
    const account = register.accounts.find(({ id }) => id === key.accountId) ?? { id: key.accountId, displayName: OWNER_NAME };
    sayKey(asked.terminal, key, account, 'access_key_rotated');
  });
}

export async function accessRevoke({ dir, terminal, accessKeyId }: AccessTarget & { accessKeyId: string }): Promise<void> {
  const folder = ownerFolder(dir);
  const disk = new NodeDisk(folder);
  await changeAccess(folder, async () => {
    const register = await readAccessRegister(disk);
    await findKey(disk, register, accessKeyId);
    const accessKeys = register.accessKeys.filter((known) => known.accessKeyId !== accessKeyId);
    if (accessKeys.length < register.accessKeys.length) await writeAccessRegister(disk, { ...register, accessKeys });
    await removeFirstKey(disk, accessKeyId);
  });
  terminal.say('access_key_revoked', { accessKeyId }, `${accessKeyId} is revoked.`);
}

async function findKey(disk: Disk, register: AccessRegister, accessKeyId: string): Promise<RegisteredKey> {
  const registered = register.accessKeys.find((key) => key.accessKeyId === accessKeyId);
  if (registered !== undefined) return registered;
  const first = (await readAccessKeys(disk)).find((key) => key.accessKeyId === accessKeyId);
  if (first !== undefined) return { ...first, accountId: await ownerIdOf(disk) };
  throw new OperationError('NOT_FOUND', 'There is no such access key.', { remedy: '`holdfast access list` shows them.' });
}

/** Takes a key out of the file that `gateway init` made. */
async function removeFirstKey(disk: Disk, accessKeyId: string): Promise<void> {
  const before = await readAccessKeys(disk);
  const after = before.filter((key) => key.accessKeyId !== accessKeyId);
  if (after.length === before.length) return;
  await disk.writeFile(ACCESS_KEYS_FILE, encodeAccessKeys(after), { mode: SECRET_MODE });
}

/** The quota of a bucket or an account; `bytes` undefined takes it away. */
export async function accessQuota(
  asked: AccessTarget & { bucket: string | undefined; account: string | undefined; bytes: number | undefined },
): Promise<void> {
  const { bucket, account, bytes, terminal } = asked;
  if ((bucket === undefined) === (account === undefined))
    throw new OperationError('BAD_ARGUMENT', 'Name one of --bucket and --account.');
  const folder = ownerFolder(asked.dir);
  const disk = new NodeDisk(folder);
  await changeAccess(folder, async () => {
    const register = await readAccessRegister(disk);
    const changed =
      bucket === undefined
        ? withAccountQuota(withOwner(register, await ownerIdOf(disk), account ?? ''), account ?? '', bytes)
        : withBucketQuota(register, bucket, bytes);
    await writeAccessRegister(disk, changed);
  });
  const of = bucket ?? account ?? '';
  terminal.say('quota', { of, bytes: bytes ?? null }, bytes === undefined ? `${of} has no quota.` : `${of} may hold ${formatBytes(bytes)}.`);
}

/** The owner has a row only once something is to be kept of that account. */
function withOwner(register: AccessRegister, ownerId: string, name: string): AccessRegister {
  const isOwner = name === ownerId || name === OWNER_NAME;
  return isOwner ? withAccount(register, { id: ownerId, displayName: OWNER_NAME }) : register;
}

function withBucketQuota(register: AccessRegister, bucket: string, quotaBytes: number | undefined): AccessRegister {
  const others = register.bucketQuotas.filter((quota) => quota.bucket !== bucket);
  return { ...register, bucketQuotas: quotaBytes === undefined ? others : [...others, { bucket, quotaBytes }] };
}

function withAccountQuota(register: AccessRegister, name: string, quotaBytes: number | undefined): AccessRegister {
  const isMeant = ({ id, displayName }: RegisteredAccount): boolean => id === name || displayName === name;
  if (!register.accounts.some(isMeant)) throw new OperationError('NOT_FOUND', 'There is no such account.');
  const accounts = register.accounts.map((known) => {
    if (!isMeant(known)) return known;
    const { id, displayName, email } = known;
    const bare = { id, displayName, ...(email === undefined ? {} : { email }) };
    return quotaBytes === undefined ? bare : { ...bare, quotaBytes };
  });
  return { ...register, accounts };
}
