/**
 * Where the client tests of this folder run: a cluster of real processes of which one lies throughout. To tell a
 * fault of the S3 front from one below it, HOLDFAST_S3_AGAINST=memory puts the front over a store in memory.
 */
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { ACCESS_KEY, SECRET_KEY, startS3World } from '../../src/gateway/s3/s3-world.contract.ts';
import { LyingCluster } from './lying-cluster.ts';

export interface ClientEndpoint {
  readonly origin: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  close(): Promise<void>;
}

export interface Against {
  readonly name: string;
  start(): Promise<ClientEndpoint>;
}

async function overMemory(): Promise<ClientEndpoint> {
  const world = await startS3World();
  return { origin: world.server.origin, region: 'us-east-1', accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY, close: () => world.close() };
}

async function overProcesses(): Promise<ClientEndpoint> {
  const cluster = await LyingCluster.start('clients');
  const { endpoint, region, accessKeyId, secretAccessKey } = cluster.endpoint;
  return { origin: endpoint, region, accessKeyId, secretAccessKey, close: () => cluster.close() };
}

const ALL: Readonly<Record<string, Against>> = {
  memory: { name: 'over memory', start: overMemory },
  processes: { name: 'over real processes, one of which lies', start: overProcesses },
};

export const ENDPOINTS: readonly Against[] = [chosenOf(process.env['HOLDFAST_S3_AGAINST'] ?? 'processes')];

function chosenOf(name: string): Against {
  const against = ALL[name];
  if (against === undefined) throw new Error(`HOLDFAST_S3_AGAINST is one of ${Object.keys(ALL).join(', ')}`);
  return against;
}

/** The environment of a client program: how to reach the endpoint, and nothing of the person who runs the tests. */
export function clientEnvironment(endpoint: ClientEndpoint, home: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    PYTHONPATH: process.env['PYTHONPATH'],
    HOME: home,
    S3_ENDPOINT: endpoint.origin,
    AWS_ACCESS_KEY_ID: endpoint.accessKeyId,
    AWS_SECRET_ACCESS_KEY: endpoint.secretAccessKey,
    AWS_DEFAULT_REGION: endpoint.region,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}

export const here = (name: string): string => path.join(path.dirname(fileURLToPath(import.meta.url)), name);
