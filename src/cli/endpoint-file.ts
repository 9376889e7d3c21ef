/**
 * DIR/endpoint.json (mode 0600): how to reach a running `holdfast up`, with which credentials, and which
 * processes it consists of. Written when everything serves and rewritten when a process changes; the other
 * commands read it through `--dir`.
 */
import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { Disk } from '../base/ports.ts';
import { readJson } from './folder-json.ts';
import { SECRET_MODE } from './identity-folder.ts';

export const ENDPOINT_FILE = 'endpoint.json';
/** It names the folder of each process, and a path may be long. */
const ENDPOINT_BYTES_MAX = 128 * 1024;

/** What stands in the headers of a request. */
const word = z.string().regex(/^[!-~]{1,128}$/, 'expected 1 to 128 visible characters');

const endpointSchema = z.strictObject({
  v: z.literal(1),
  endpoint: z.url({ protocol: /^https?$/ }).max(300),
  region: word,
  accessKeyId: word,
  secretAccessKey: word,
  /** Process ids are null while the process is not running; this one is that of `holdfast up` itself. */
  pid: z.int().nullable(),
  gateway: z.strictObject({ pid: z.int().nullable(), folder: z.string() }),
  /** Absent in a cluster that has none. */
  controller: z.strictObject({ pid: z.int().nullable(), folder: z.string() }).optional(),
  nodes: z.array(
    z.strictObject({
      id: z.string(),
      slot: z.int(),
      pid: z.int().nullable(),
      folder: z.string(),
      address: z.string(),
      state: z.enum(['starting', 'serving', 'waiting', 'lost', 'stopped']),
    }),
  ),
});
export type EndpointFile = z.infer<typeof endpointSchema>;

export async function writeEndpoint(disk: Disk, endpoint: EndpointFile): Promise<void> {
  await disk.writeFile(ENDPOINT_FILE, utf8(`${JSON.stringify(endpoint, null, 2)}\n`), { mode: SECRET_MODE });
}

/** NOT_FOUND, with what to do, when no cluster ever ran in the folder. */
export async function readEndpoint(disk: Disk, dir: string): Promise<EndpointFile> {
  try {
    return await readJson(disk, ENDPOINT_FILE, endpointSchema, 'NOT_FOUND', ENDPOINT_BYTES_MAX);
  } catch (error) {
    if (!isOperationError(error, 'NOT_FOUND')) throw error;
    throw new OperationError('NOT_FOUND', `No cluster has run in ${dir}: it holds no ${ENDPOINT_FILE}.`, {
      cause: error,
      remedy: 'Start one with `holdfast up`, or name its folder with --dir.',
    });
  }
}
