/**
 * Where the S3 door of a gateway is, and with which key of the owner a command goes through it: the folder of
 * `holdfast up` says both; of a gateway run by hand the address is named, and the key lies in its folder.
 */
import path from 'node:path';
import { OperationError } from '../base/errors.ts';
import { NodeDisk } from '../platform/disk.ts';
import { findOwnerKey } from './access-folder.ts';
import { ownerFolder } from './cluster-folder.ts';
import { readEndpoint } from './endpoint-file.ts';
import type { S3Endpoint } from './s3-client.ts';
import { systemClock } from './system-ports.ts';

/** What every gateway answers to that is not told otherwise. */
const REGION = 'us-east-1';

/** `endpoint`: the URL of the gateway's S3 door; undefined: `dir` is a folder of `up`. NOT_FOUND. */
export async function frontDoor(dir: string, endpoint: string | undefined): Promise<S3Endpoint> {
  if (endpoint === undefined) return readEndpoint(new NodeDisk(dir), dir);
  if (!URL.canParse(endpoint)) throw new OperationError('BAD_ARGUMENT', `--endpoint ${JSON.stringify(endpoint)}: expected a URL such as http://127.0.0.1:9000.`);
  const folder = ownerFolder(path.resolve(dir));
  const key = await findOwnerKey(new NodeDisk(folder), systemClock.nowMs());
  if (key !== undefined) return { endpoint, region: REGION, accessKeyId: key.accessKeyId, secretAccessKey: key.secretAccessKey };
  throw new OperationError('NOT_FOUND', `${folder} holds no access key of the owner that may do everything.`, { remedy: 'Make one with `holdfast access create`.' });
}
