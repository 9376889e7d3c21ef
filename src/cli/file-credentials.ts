/**
 * The credentials of a running gateway, from the files of its folder: read again when they change, within
 * half a second of the change and without a restart. A file that becomes unreadable changes nothing: what
 * was known stays in force until the file can be read again, and the log says so.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { describeError } from '../base/errors.ts';
import type { Clock, Disk, Telemetry } from '../base/ports.ts';
import type { Quotas } from '../gateway/s3/access/usage.ts';
import type { CredentialStore } from '../gateway/s3/access/credential-store.ts';
import { S3Error } from '../gateway/s3/http/errors.ts';
import { parsePolicy } from '../gateway/s3/policy/parse.ts';
import type { Account, Credential } from '../gateway/s3/auth/principal.ts';
import type { AccessKey } from '../keyring/access-keys.ts';
import type { AccessRegister, RegisteredKey } from '../keyring/access-register.ts';
import { readAccessRegister, REGISTER_FILE } from './access-folder.ts';
import { readAccessKeys } from './gateway-folder.ts';
import { ACCESS_KEYS_FILE } from './identity-folder.ts';

const LOOK_MS = 500;
export const OWNER_NAME = 'owner';

export interface FileCredentialsOptions {
  readonly folder: string;
  readonly disk: Disk;
  /** Canonical id of the account to which keys without another belong. */
  readonly ownerId: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

interface Known {
  readonly accounts: ReadonlyMap<string, Account>;
  readonly credentials: ReadonlyMap<string, { readonly credential: Credential; readonly expiresMs: number | undefined }>;
  readonly register: AccessRegister;
}

export class FileCredentials implements CredentialStore, Quotas {
  readonly #options: FileCredentialsOptions;
  #known: Known;
  #marks: string;
  #lookedMs: number;
  #looking: Promise<void> | undefined;

  private constructor(options: FileCredentialsOptions, known: Known, marks: string) {
    this.#options = options;
    this.#known = known;
    this.#marks = marks;
    this.#lookedMs = options.clock.monotonicMs();
  }

  /** NOT_FOUND, CORRUPT. */
  static async open(options: FileCredentialsOptions): Promise<FileCredentials> {
    // The marks first: a change between the two is seen again at the next look.
    const marks = await marksOf(options.folder);
    return new FileCredentials(options, await load(options), marks);
  }

  readonly lookup = async (accessKeyId: string): Promise<Credential | undefined> => {
    await this.#look();
    const found = this.#known.credentials.get(accessKeyId);
    if (found === undefined) return undefined;
    const isExpired = found.expiresMs !== undefined && this.#options.clock.nowMs() >= found.expiresMs;
    return isExpired ? undefined : found.credential;
  };

  async byId(id: string): Promise<Account | undefined> {
    await this.#look();
    return this.#known.accounts.get(id);
  }

  async byEmail(email: string): Promise<Account | undefined> {
    await this.#look();
    return [...this.#known.accounts.values()].find((account) => account.email?.toLowerCase() === email.toLowerCase());
  }

  async bucketQuota(bucket: string): Promise<number | undefined> {
    await this.#look();
    return this.#known.register.bucketQuotas.find((quota) => quota.bucket === bucket)?.quotaBytes;
  }

  async accountQuota(accountId: string): Promise<number | undefined> {
    await this.#look();
    return this.#known.register.accounts.find(({ id }) => id === accountId)?.quotaBytes;
  }

  async #look(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#looking === undefined && nowMs - this.#lookedMs >= LOOK_MS) {
      this.#looking = this.#reload().finally(() => {
        this.#lookedMs = this.#options.clock.monotonicMs();
        this.#looking = undefined;
      });
    }
    await this.#looking;
  }

  async #reload(): Promise<void> {
    const { folder, telemetry } = this.#options;
    try {
      const marks = await marksOf(folder);
      if (marks === this.#marks) return;
      this.#known = await load(this.#options);
      this.#marks = marks;
      telemetry.event('info', 'access_reloaded', { keys: this.#known.credentials.size });
    } catch (error) {
      telemetry.count('access_reload_failed');
      telemetry.event('error', 'access_not_reloaded', { error: describeError(error) });
    }
  }
}

/** What changes when a file is replaced. */
async function marksOf(folder: string): Promise<string> {
  const marks = [ACCESS_KEYS_FILE, REGISTER_FILE].map(async (file) => {
    try {
      const { ino, size, mtimeMs, ctimeMs } = await fs.stat(path.join(folder, file));
      return [ino, size, mtimeMs, ctimeMs].join(' ');
    } catch {
      return 'none';
    }
  });
  return (await Promise.all(marks)).join('\n');
}

async function load({ disk, ownerId, telemetry }: FileCredentialsOptions): Promise<Known> {
  const register = await readAccessRegister(disk);
  const owner: Account = { id: ownerId, displayName: OWNER_NAME };
  const accounts = new Map<string, Account>([[ownerId, owner]]);
  for (const { id, displayName, email } of register.accounts) accounts.set(id, { id, displayName, email });
  const credentials = new Map<string, { credential: Credential; expiresMs: number | undefined }>();
  for (const key of await readAccessKeys(disk)) {
    const account = accounts.get(ownerId) ?? owner;
    credentials.set(key.accessKeyId, { credential: plainCredential(key, account), expiresMs: undefined });
  }
  for (const key of register.accessKeys) {
    const account = accounts.get(key.accountId);
    // A key of an account that is not there is nobody's.
    const credential = account === undefined ? undefined : credentialOf(key, account);
    if (credential === undefined) telemetry.event('error', 'access_key_unusable', { accessKeyId: key.accessKeyId });
    else credentials.set(key.accessKeyId, { credential, expiresMs: key.expiresMs });
  }
  return { accounts, credentials, register };
}

function plainCredential({ secretAccessKey }: AccessKey, account: Account): Credential {
  return { secretAccessKey, account };
}

/** Undefined when its policy cannot be read, which would hold nobody back: such a key opens nothing. */
function credentialOf(key: RegisteredKey, account: Account): Credential | undefined {
  const { secretAccessKey, requestsPerSecond, bytesPerSecond } = key;
  const limits = { requestsPerSecond, bytesPerSecond };
  if (key.policy === undefined) return { secretAccessKey, account, limits };
  try {
    return { secretAccessKey, account, limits, policy: parsePolicy(utf8(key.policy), { kind: 'key' }) };
  } catch (error) {
    if (error instanceof S3Error) return undefined;
    throw error;
  }
}
