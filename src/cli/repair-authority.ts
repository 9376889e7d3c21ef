/**
 * Authority to repair, from a gateway's identity to a controller (protocol 6.8): over the admin door of a gateway
 * on the same machine, or as a file that a person carries. Both are one JSON document. It is no secret: it names
 * the one controller that may use it, and lets it give lost cells back, for a day at most.
 */
import { z } from 'zod';
import { fromHex, fromUtf8, hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import type { AuthoritySource } from '../control/authority.ts';
import { BatchSigner } from '../protocol/batch-signer.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { decode, encode } from '../protocol/encoding.ts';
import { encodeRepairAuthority, REPAIR_AUTHORITY_MS_MAX } from '../protocol/repair-authority.ts';
import { signedBodySchema } from '../protocol/slot.ts';
import type { SignedBody } from '../protocol/slot.ts';
import { askAdmin } from './admin-socket.ts';
import { parseJson } from './folder-json.ts';
import { readGivenFile } from './given-file.ts';
import type { GatewayIdentity } from './identity-folder.ts';

/** Where a gateway's admin door gives it. */
export const AUTHORITY_PATH = '/repair-authority';

const AUTHORITY_BYTES_MAX = 16 * 1024;
const documentSchema = z.strictObject({ v: z.literal(1), authority: z.string().regex(/^([0-9a-f]{2})+$/).max(AUTHORITY_BYTES_MAX) });
export type AuthorityDocument = z.infer<typeof documentSchema>;

/** The controller that a text names by all or the first digits of its id. BAD_ARGUMENT unless it names one of the configuration. */
export function controllerNamed(cluster: Cluster, text: string | null): Uint8Array {
  const controllers = cluster.config.writers.filter(({ capabilities }) => capabilities.includes('repair'));
  const named = controllers.filter(({ gatewayId }) => text !== null && /^[0-9a-f]{8,64}$/.test(text) && hex(gatewayId).startsWith(text));
  const [found] = named;
  if (found !== undefined && named.length === 1) return found.gatewayId;
  throw new OperationError('BAD_ARGUMENT', `The configuration names no controller ${JSON.stringify(text ?? '')}.`, {
    remedy: controllers.length === 0 ? 'It names none at all.' : `It names ${controllers.map(({ gatewayId }) => hex(gatewayId.subarray(0, 8))).join(', ')}.`,
  });
}

/** Signs as this gateway. */
export async function signAuthority(cluster: Cluster, { signingKey }: GatewayIdentity, controllerId: Uint8Array, clock: Clock): Promise<AuthorityDocument> {
  const body = encodeRepairAuthority({ v: 1, controllerId, epoch: cluster.epoch, notAfterMs: clock.nowMs() + REPAIR_AUTHORITY_MS_MAX });
  const proof = await new BatchSigner(signingKey, cluster.id).sign('repair-authority', body);
  return { v: 1, authority: hex(encode({ body, proof })) };
}

/** Reads a document from anywhere; whether it holds is for its user to judge. BAD_CONFIG. */
export function openAuthority(document: unknown, source: string): SignedBody {
  const parsed = parseJson(JSON.stringify(document ?? null), documentSchema);
  const decoded = parsed.ok ? decode<SignedBody>(signedBodySchema, fromHex(parsed.value.authority), AUTHORITY_BYTES_MAX) : parsed;
  if (decoded.ok) return decoded.value;
  throw new OperationError('BAD_CONFIG', `${source} gives no authority to repair: ${decoded.reason}.`);
}

/** From the gateway that runs in that folder. */
export function authorityFromGateway(folder: string, controllerId: Uint8Array): AuthoritySource {
  return async () => {
    const { status, body } = await askAdmin(folder, `${AUTHORITY_PATH}?controller=${hex(controllerId)}`);
    return status === 200 ? openAuthority(body, folder) : null;
  };
}

/** From a file, read anew each time, so that it can be replaced. */
export function authorityFromFile(file: string): AuthoritySource {
  return async () => openAuthority(JSON.parse(await textOf(file)), file);
}

async function textOf(file: string): Promise<string> {
  const bytes = await readGivenFile(file, 'authority to repair', AUTHORITY_BYTES_MAX, 'BAD_CONFIG');
  try {
    const text = fromUtf8(bytes);
    JSON.parse(text);
    return text;
  } catch (error) {
    throw new OperationError('BAD_CONFIG', `${file} is not JSON.`, { cause: error, remedy: 'Use what `holdfast gateway authority` printed, as it is.' });
  }
}
