/**
 * GATEWAY/access/: the register of accounts and access keys (register.json, mode 0600), and when each key was
 * last used (use.json), which the running gateway writes. One command at a time changes the register; it is
 * replaced whole, so that a gateway reads either the old one or the new one.
 */
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { isOperationError } from '../base/errors.ts';
import { TIME_MS_MAX } from '../base/limits.ts';
import type { Disk } from '../base/ports.ts';
import type { KeyUse } from '../gateway/s3/access/key-meter.ts';
import { accessRegisterSchema, EMPTY_REGISTER, encodeAccessRegister } from '../keyring/access-register.ts';
import type { AccessRegister } from '../keyring/access-register.ts';
import type { AccessKey } from '../keyring/access-keys.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { lockFolder } from '../platform/folder-lock.ts';
import { readJson } from './folder-json.ts';
import { readAccessKeys, readRootSecret } from './gateway-folder.ts';
import { SECRET_MODE } from './identity-folder.ts';

export const ACCESS_FOLDER = 'access';
export const REGISTER_FILE: string = `${ACCESS_FOLDER}/register.json`;
export const USE_FILE: string = `${ACCESS_FOLDER}/use.json`;
const FILE_BYTES_MAX = 32 * 1024 * 1024;
const FOLDER_MODE = 0o700;

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const useSchema = z.strictObject({
  v: z.literal(1),
  keys: z
    .array(
      z.strictObject({
        accessKeyId: z.string().max(128),
        lastUsedMs: z.int().min(0).max(TIME_MS_MAX),
        requests: count,
        bytesIn: count,
        bytesOut: count,
      }),
    )
    .max(100_000),
});

/** Empty where none was ever made. CORRUPT when it cannot be used. */
export async function readAccessRegister(disk: Disk): Promise<AccessRegister> {
  try {
    const { accounts, accessKeys, bucketQuotas } = await readJson(disk, REGISTER_FILE, accessRegisterSchema, 'NOT_FOUND', FILE_BYTES_MAX);
    return { accounts, accessKeys, bucketQuotas };
  } catch (error) {
    if (isOperationError(error, 'NOT_FOUND')) return EMPTY_REGISTER;
    throw error;
  }
}

/** Runs `change` while no other command changes the register. IN_USE when one does. */
export async function changeAccess<T>(gatewayFolder: string, change: () => Promise<T>): Promise<T> {
  const folder = path.join(gatewayFolder, ACCESS_FOLDER);
  fs.mkdirSync(folder, { mode: FOLDER_MODE, recursive: true });
  const lock = await lockFolder(folder);
  try {
    return await change();
  } finally {
    await lock.release();
  }
}

export async function writeAccessRegister(disk: Disk, register: AccessRegister): Promise<void> {
  await disk.writeFile(REGISTER_FILE, encodeAccessRegister(register), { mode: SECRET_MODE });
}

/**
 * A key of the owner's that may do everything, for the commands of `holdfast up`; undefined when there is none.
 */
export async function findOwnerKey(disk: Disk, nowMs: number): Promise<AccessKey | undefined> {
  const [first] = await readAccessKeys(disk);
  if (first !== undefined) return first;
  const { ownerId } = new OwnerKeys(await readRootSecret(disk));
  const { accessKeys } = await readAccessRegister(disk);
  return accessKeys.find(
    ({ accountId, policy, expiresMs }) => accountId === ownerId && policy === undefined && (expiresMs ?? Infinity) > nowMs,
  );
}

/** By access key. What cannot be read counts as never: nothing hangs on it. */
export async function readKeyUse(disk: Disk): Promise<ReadonlyMap<string, KeyUse>> {
  try {
    const { keys } = await readJson(disk, USE_FILE, useSchema, 'NOT_FOUND', FILE_BYTES_MAX);
    return new Map(keys.map(({ accessKeyId, ...use }) => [accessKeyId, use]));
  } catch (error) {
    if (isOperationError(error, 'NOT_FOUND') || isOperationError(error, 'CORRUPT')) return new Map();
    throw error;
  }
}

export async function writeKeyUse(disk: Disk, uses: ReadonlyMap<string, KeyUse>): Promise<void> {
  const keys = [...uses].map(([accessKeyId, use]) => ({ accessKeyId, ...use }));
  await disk.makeFolder(ACCESS_FOLDER);
  await disk.writeFile(USE_FILE, utf8(`${JSON.stringify({ v: 1, keys }, null, 2)}\n`), { mode: SECRET_MODE });
}
