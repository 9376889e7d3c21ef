/**
 * What a gateway keeps in its folder beside its identity: the owner's root secret, from which all keys of the
 * owner derive, and the access keys of S3 clients; both mode 0600. The index beside them is a cache. Losing
 * the root secret means losing every object for ever, so it is never made anew in a folder that has an
 * identity, and it can be exported by copying the file and imported into another gateway of the same owner.
 */
import { z } from 'zod';
import { fromHex, hex, utf8 } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { Disk, Random } from '../base/ports.ts';
import { accessKeysSchema, createAccessKey, encodeAccessKeys } from '../keyring/access-keys.ts';
import type { AccessKey } from '../keyring/access-keys.ts';
import { ROOT_SECRET_BYTES } from '../keyring/owner-keys.ts';
import { readJson } from './folder-json.ts';
import { ACCESS_KEYS_FILE, OWNER_FILE, SECRET_MODE } from './identity-folder.ts';

/** What the nodes' logs tell of the past; may be deleted while nothing uses it. */
export const HISTORY_FOLDER = 'history';

const ACCESS_KEYS_BYTES_MAX = 8 * 1024 * 1024;

const ownerSchema = z.strictObject({ v: z.literal(1), rootSecret: z.string().regex(/^[0-9a-f]{64}$/) });

/** Makes, or takes over, the root secret, and one access key. Overwrites nothing. */
export async function initOwner(disk: Disk, random: Random, nowMs: number, imported: Uint8Array | undefined): Promise<void> {
  if (!(await disk.exists(OWNER_FILE))) {
    const rootSecret = imported ?? random.bytes(ROOT_SECRET_BYTES);
    await disk.writeFile(OWNER_FILE, utf8(`${JSON.stringify({ v: 1, rootSecret: hex(rootSecret) }, null, 2)}\n`), { mode: SECRET_MODE });
  }
  if (!(await disk.exists(ACCESS_KEYS_FILE))) {
    await disk.writeFile(ACCESS_KEYS_FILE, encodeAccessKeys([createAccessKey(random, nowMs)]), { mode: SECRET_MODE });
  }
}

/** LOST_STATE when it is gone: nothing can be decrypted without it. */
export async function readRootSecret(disk: Disk): Promise<Uint8Array> {
  try {
    return fromHex((await readJson(disk, OWNER_FILE, ownerSchema, 'LOST_STATE')).rootSecret);
  } catch (error) {
    if (!isOperationError(error, 'LOST_STATE')) throw error;
    throw new OperationError('LOST_STATE', `The owner's secret, ${OWNER_FILE}, is missing: no object can be decrypted.`, {
      cause: error,
      remedy: 'Put the file back from your copy of it.',
    });
  }
}

/** NOT_FOUND, CORRUPT; no error repeats any of the secrets. */
export async function readAccessKeys(disk: Disk): Promise<readonly AccessKey[]> {
  return (await readJson(disk, ACCESS_KEYS_FILE, accessKeysSchema, 'NOT_FOUND', ACCESS_KEYS_BYTES_MAX)).accessKeys;
}
