/**
 * The identity of a storage node, gateway, controller or administrator: the secret seeds that a folder holds, mode 0600,
 * one seed a purpose (protocol 13.13). A member's id is SHA-256 of its public signing key. An identity is
 * made once, by `init`; nothing makes one silently, because a folder that lost its identity has lost what it
 * promised, and must say so instead of starting afresh.
 */
import { z } from 'zod';
import { fromHex, hex, utf8 } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { Disk, Random } from '../base/ports.ts';
import { SEED_BYTES, sha256, signingKeyFromSeed } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import { parseAddress } from '../platform/address.ts';
import { readJson } from './folder-json.ts';

export const IDENTITY_FILE = 'identity.json';
/** Exists from `node init` until the first journal is made: says that nothing was ever promised from here. */
export const FRESH_FILE = 'fresh';
/** The signed configuration that a node or gateway is bound to, from its first run on. */
export const CONFIG_FILE = 'cluster.cfg';
export const ADMIN_FILE = 'admin.json';
export const OWNER_FILE = 'owner.json';
export const ACCESS_KEYS_FILE = 'access-keys.json';
/** What a gateway's folder holds before its identity. */
export const OWNER_FILES = [OWNER_FILE, ACCESS_KEYS_FILE] as const;
/** Each of them says that the folder has a role. */
const ROLE_FILES = [IDENTITY_FILE, FRESH_FILE, ADMIN_FILE, CONFIG_FILE, ...OWNER_FILES] as const;

export const SECRET_MODE = 0o600;

const seedHex = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits');
export const addressText = z.string().max(255).regex(/^[a-zA-Z0-9.:[\]-]+:\d{1,5}$/, 'expected host:port');
export const domainText = z.string().min(1).max(100).regex(/^[^\p{Cc}\p{Cf}]*$/u, 'expected text without control characters');

const identitySchema = z.discriminatedUnion('role', [
  z.strictObject({
    v: z.literal(1),
    role: z.literal('node'),
    signingSeed: seedHex,
    tlsSeed: seedHex,
    address: addressText,
    domain: domainText,
  }),
  z.strictObject({ v: z.literal(1), role: z.enum(['gateway', 'controller']), signingSeed: seedHex, tlsSeed: seedHex }),
]);
type IdentityFile = z.infer<typeof identitySchema>;

const adminSchema = z.strictObject({ v: z.literal(1), adminSeed: seedHex, freshnessSeed: seedHex });

interface MemberIdentity {
  /** SHA-256 of the public signing key: nodeId or gatewayId. */
  readonly id: Uint8Array;
  readonly signingKey: SigningKey;
  /** Secret; used for TLS alone. */
  readonly tlsSeed: Uint8Array;
  readonly tlsKey: Uint8Array;
}

export interface NodeIdentity extends MemberIdentity {
  readonly role: 'node';
  readonly address: string;
  readonly domain: string;
}

export interface GatewayIdentity extends MemberIdentity {
  readonly role: 'gateway';
}

export interface ControllerIdentity extends MemberIdentity {
  readonly role: 'controller';
}

export interface AdminKeys {
  readonly admin: SigningKey;
  readonly freshness: SigningKey;
}

/** BAD_ARGUMENT unless the two may stand in an identity. */
export function requirePlace(address: string, domain: string): void {
  parseAddress(address);
  requireText(addressText, address, '--address');
  requireText(domainText, domain, '--domain');
}

/** Makes the identity of a storage node and marks the folder as fresh. ALREADY_EXISTS when it has one. */
export async function initNode(disk: Disk, random: Random, address: string, domain: string): Promise<NodeIdentity> {
  requirePlace(address, domain);
  await refuseExisting(disk, FRESH_FILE);
  // The marker first: a crash between the two leaves a folder without identity, where `init` runs again.
  await disk.writeFile(FRESH_FILE, utf8('This node has not run yet: it has promised nothing.\n'), { mode: SECRET_MODE });
  const seeds = { signingSeed: newSeed(random), tlsSeed: newSeed(random) };
  await writeIdentity(disk, { v: 1, role: 'node', ...seeds, address, domain });
  return readNodeIdentity(disk);
}

export async function initGateway(disk: Disk, random: Random): Promise<GatewayIdentity> {
  await refuseExisting(disk, ...OWNER_FILES);
  await writeIdentity(disk, { v: 1, role: 'gateway', signingSeed: newSeed(random), tlsSeed: newSeed(random) });
  return readGatewayIdentity(disk);
}

export async function initController(disk: Disk, random: Random): Promise<ControllerIdentity> {
  await refuseExisting(disk);
  await writeIdentity(disk, { v: 1, role: 'controller', signingSeed: newSeed(random), tlsSeed: newSeed(random) });
  return readControllerIdentity(disk);
}

/** Seeds of the keys that sign the configuration and its freshness. */
export type AdminSeeds = z.infer<typeof adminSchema>;

export function newAdminSeeds(random: Random): AdminSeeds {
  return { v: 1, adminSeed: newSeed(random), freshnessSeed: newSeed(random) };
}

export function adminKeysOf({ adminSeed, freshnessSeed }: AdminSeeds): AdminKeys {
  return { admin: signingKeyFromSeed(fromHex(adminSeed)), freshness: signingKeyFromSeed(fromHex(freshnessSeed)) };
}

/** ALREADY_EXISTS when the folder holds an administrator's or a member's files. */
export async function writeAdmin(disk: Disk, seeds: AdminSeeds): Promise<void> {
  await refuseExisting(disk);
  await disk.writeFile(ADMIN_FILE, utf8(`${JSON.stringify(seeds, null, 2)}\n`), { mode: SECRET_MODE });
}

/** LOST_STATE when the folder has no identity: it is not the folder of a node, or was emptied. */
export async function readNodeIdentity(disk: Disk): Promise<NodeIdentity> {
  const file = await readIdentity(disk, 'storage node');
  if (file.role !== 'node') throw new OperationError('BAD_ARGUMENT', `The folder is that of a ${file.role}, not of a storage node.`);
  return { role: 'node', ...memberOf(file), address: file.address, domain: file.domain };
}

export async function readGatewayIdentity(disk: Disk): Promise<GatewayIdentity> {
  const file = await readIdentity(disk, 'gateway');
  if (file.role !== 'gateway') throw new OperationError('BAD_ARGUMENT', `The folder is that of a ${roleText(file)}, not of a gateway.`);
  return { role: 'gateway', ...memberOf(file) };
}

export async function readControllerIdentity(disk: Disk): Promise<ControllerIdentity> {
  const file = await readIdentity(disk, 'controller');
  if (file.role !== 'controller') throw new OperationError('BAD_ARGUMENT', `The folder is that of a ${roleText(file)}, not of a controller.`);
  return { role: 'controller', ...memberOf(file) };
}

const roleText = ({ role }: IdentityFile): string => (role === 'node' ? 'storage node' : role);

export async function readAdmin(disk: Disk): Promise<AdminKeys> {
  return adminKeysOf(await readJson(disk, ADMIN_FILE, adminSchema, 'NOT_FOUND'));
}

async function readIdentity(disk: Disk, what: string): Promise<IdentityFile> {
  try {
    return await readJson(disk, IDENTITY_FILE, identitySchema, 'LOST_STATE');
  } catch (error) {
    if (!isOperationError(error, 'LOST_STATE')) throw error;
    throw new OperationError('LOST_STATE', `The folder holds no identity of a ${what}: it was emptied, or never made.`, {
      cause: error,
      remedy: `If it was never made, run \`holdfast ${what === 'storage node' ? 'node' : what} init\`; else it must join as a new member.`,
    });
  }
}

function memberOf(file: IdentityFile): MemberIdentity {
  const signingKey = signingKeyFromSeed(fromHex(file.signingSeed));
  const tlsSeed = fromHex(file.tlsSeed);
  return { id: sha256(signingKey.publicKey), signingKey, tlsSeed, tlsKey: signingKeyFromSeed(tlsSeed).publicKey };
}

async function writeIdentity(disk: Disk, file: IdentityFile): Promise<void> {
  await disk.writeFile(IDENTITY_FILE, utf8(`${JSON.stringify(file, null, 2)}\n`), { mode: SECRET_MODE });
}

/**
 * A folder has one role, and what it holds is never replaced in place. `own` are files that a making of this
 * role leaves behind when it is cut short.
 */
export async function refuseExisting(disk: Disk, ...own: readonly string[]): Promise<void> {
  for (const file of ROLE_FILES) {
    if (own.includes(file) || !(await disk.exists(file))) continue;
    throw new OperationError('ALREADY_EXISTS', `The folder already holds ${file}.`, {
      remedy: 'Choose another folder; an identity is never replaced in place.',
    });
  }
}

function requireText(schema: z.ZodType<string>, text: string, flag: string): void {
  const parsed = schema.safeParse(text);
  if (parsed.success) return;
  throw new OperationError('BAD_ARGUMENT', `${flag} ${JSON.stringify(text)}: ${parsed.error.issues[0]?.message ?? 'is wrong'}.`);
}

function newSeed(random: Random): string {
  return hex(random.bytes(SEED_BYTES));
}
