/**
 * What a future member hands to the administrator: its public keys, where it listens and in whose trust
 * domain, signed with its signing key for purpose `join`, so that nobody can enrol a key it does not hold.
 * It is plain JSON that a person can read before signing the configuration; the signature covers the
 * canonical encoding of the same fields. No cluster exists yet, so its id in the statement is all zeros.
 */
import { z } from 'zod';
import { equal, fromHex, fromUtf8, hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { isSafePublicKey } from '../crypto/keys.ts';
import { sha256, verifySignature } from '../crypto/primitives.ts';
import { encode } from '../protocol/encoding.ts';
import { statementBytes } from '../protocol/statement.ts';
import { parseJson } from './folder-json.ts';
import { readGivenFile } from './given-file.ts';
import { addressText, domainText } from './identity-folder.ts';
import type { ControllerIdentity, GatewayIdentity, NodeIdentity } from './identity-folder.ts';

const NO_CLUSTER = new Uint8Array(32);
const REQUEST_BYTES_MAX = 16 * 1024;

const hexOf = (bytes: number): z.ZodType<string> => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));
const keyFields = { id: hexOf(32), signingKey: hexOf(32), tlsKey: hexOf(32), signature: hexOf(64) };

const joinSchema = z.discriminatedUnion('role', [
  z.strictObject({
    v: z.literal(1),
    role: z.literal('node'),
    address: addressText,
    domain: domainText,
    ...keyFields,
  }),
  z.strictObject({ v: z.literal(1), role: z.enum(['gateway', 'controller']), ...keyFields }),
]);
type JoinFile = z.infer<typeof joinSchema>;

export type JoinRequest =
  | {
      readonly role: 'node';
      readonly id: Uint8Array;
      readonly signingKey: Uint8Array;
      readonly tlsKey: Uint8Array;
      readonly address: string;
      readonly domain: string;
    }
  | { readonly role: 'gateway' | 'controller'; readonly id: Uint8Array; readonly signingKey: Uint8Array; readonly tlsKey: Uint8Array };

/** The request as JSON text, ending with a newline. */
export function writeJoinRequest(identity: NodeIdentity | GatewayIdentity | ControllerIdentity): string {
  const request: JoinRequest = {
    id: identity.id,
    signingKey: identity.signingKey.publicKey,
    tlsKey: identity.tlsKey,
    ...(identity.role === 'node'
      ? { role: identity.role, address: identity.address, domain: identity.domain }
      : { role: identity.role }),
  };
  const signature = identity.signingKey.sign(joinStatement(request));
  const place = request.role === 'node' ? { address: request.address, domain: request.domain } : {};
  const file = {
    v: 1,
    role: request.role,
    ...place,
    id: hex(request.id),
    signingKey: hex(request.signingKey),
    tlsKey: hex(request.tlsKey),
    signature: hex(signature),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** A request from a file that a command line names. NOT_FOUND, BAD_CONFIG. */
export async function readJoinRequestFile(file: string): Promise<JoinRequest> {
  const bytes = await readGivenFile(file, 'join request', REQUEST_BYTES_MAX, 'BAD_CONFIG');
  let text: string;
  try {
    text = fromUtf8(bytes);
  } catch {
    throw refusal(file, 'it is not UTF-8');
  }
  return readJoinRequest(text, file);
}

/** Reads a request that may come from anyone; `source` names it in the error. BAD_CONFIG unless it holds together. */
export function readJoinRequest(text: string, source: string): JoinRequest {
  const refuse = (why: string): OperationError => refusal(source, why);
  const parsed = parseJson(text, joinSchema);
  if (!parsed.ok) throw refuse(parsed.reason);
  const request = requestOf(parsed.value);
  if (!equal(request.id, sha256(request.signingKey))) throw refuse('its id is not the hash of its signing key');
  if (!isSafePublicKey(request.signingKey) || !isSafePublicKey(request.tlsKey)) throw refuse('a key of it is unsafe');
  if (!verifySignature(request.signingKey, joinStatement(request), fromHex(parsed.value.signature))) {
    throw refuse('its signature does not verify');
  }
  return request;
}

function refusal(source: string, why: string): OperationError {
  return new OperationError('BAD_CONFIG', `${source} is not a valid join request: ${why}.`, {
    remedy: 'Use the file that `init` printed, as it is.',
  });
}

function requestOf(file: JoinFile): JoinRequest {
  const keys = { id: fromHex(file.id), signingKey: fromHex(file.signingKey), tlsKey: fromHex(file.tlsKey) };
  return file.role === 'node'
    ? { role: 'node', ...keys, address: file.address, domain: file.domain }
    : { role: file.role, ...keys };
}

function joinStatement(request: JoinRequest): Uint8Array {
  return statementBytes('join', NO_CLUSTER, encode({ v: 1, ...request }));
}
