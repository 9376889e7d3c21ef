/**
 * `holdfast gateway run`: one gateway as a process. It listens at once and answers 503 while fewer storage
 * nodes than a quorum can be reached; it counts as ready when it has followed their logs for the first time.
 * Plain HTTP is spoken on loopback only; the listener itself refuses anything else.
 */
import path from 'node:path';
import { equal, hex } from '../base/bytes.ts';
import { OperationError, isOperationError } from '../base/errors.ts';
import type { KeyValueStore } from '../base/ports.ts';
import { CELL_BYTES_MAX } from '../base/limits.ts';
import { wasmCodec } from '../erasure/wasm.ts';
import { WorkspacePool } from '../erasure/workspace.ts';
import { Gateway } from '../gateway/gateway.ts';
import type { GatewayOptions } from '../gateway/gateway.ts';
import type { LifecycleTime } from '../gateway/s3/lifecycle/evaluate.ts';
import { ROOTS_KEPT_MAX } from '../gateway/root-schedule.ts';
import { DEFAULT_UPLOAD_QUOTA } from '../gateway/store/upload-quota.ts';
import type { UploadQuota } from '../gateway/store/upload-quota.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { startHttpServer } from '../platform/http-server.ts';
import type { HttpServer } from '../platform/http-server.ts';
import { openLevelStore } from '../platform/level-store.ts';
import { makeTlsIdentity } from '../platform/tls-identity.ts';
import { TlsTransport } from '../platform/tls-transport.ts';
import { postWebhook } from '../platform/webhook-client.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { bindCluster, boundCluster } from './bound-cluster.ts';
import { AUTHORITY_PATH, controllerNamed, signAuthority } from './repair-authority.ts';
import { tellParent } from './child-messages.ts';
import { keepEvidence } from './evidence-folder.ts';
import { FileCredentials } from './file-credentials.ts';
import { readRootSecret } from './gateway-folder.ts';
import { HISTORY_FOLDER } from './gateway-folder.ts';
import { readGatewayIdentity } from './identity-folder.ts';
import type { GatewayIdentity } from './identity-folder.ts';
import { KeyUseFile } from './key-use-file.ts';
import { runMember } from './member-process.ts';
import type { MemberFolder } from './member-process.ts';
import { systemClock, systemRandom } from './system-ports.ts';
import { WatchedWebhooks } from './webhook-file.ts';
import { certificatePaths, CertificateWatch, readCertificate } from './web-certificate.ts';
import type { CertificatePaths } from './web-certificate.ts';

export interface GatewayRunOptions {
  readonly dir: string;
  /** Signed configuration; needed at the first run only. */
  readonly config: string | undefined;
  /** host:port of the S3 door. */
  readonly listen: string;
  /** PEM files; both or none. */
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  /** Of one account; undefined: as many as by default. */
  readonly uploadsMax?: number | undefined;
  readonly uploadBytesMax?: number | undefined;
  /** State roots of every bucket each so many hours, and how many of each are kept; undefined: none are made. */
  readonly rootsEveryHours?: number | undefined;
  readonly rootsKept?: number | undefined;
  /** Short days for the conformance suite; no command line sets them. */
  readonly lifecycle?: { readonly time: LifecycleTime; readonly pauseMs: number };
}

const INDEX_FOLDER = 'index';
/** Stripes in memory at once, over all requests. */
const WORKSPACES = 4;
const REQUESTS_END_MS = 5_000;
const PROBE_MS = 100;

export async function runGateway(options: GatewayRunOptions): Promise<void> {
  const door = await doorOf(options);
  let gateway: Gateway | undefined;
  let isReady = false;
  await runMember(
    options.dir,
    'gateway',
    async (folder) => {
      const started = await startGateway(folder, options, door);
      gateway = started;
      const status = (): Promise<object> => Promise.resolve({ role: 'gateway', ...started.status() });
      return { isReady: () => isReady, status, answers: await answersOf(folder) };
    },
    async (signal) => {
      if (gateway !== undefined) await untilReached(gateway, signal);
      isReady = true;
    },
  );
}

/** Whoever may open the socket may have its owner's data repaired. */
async function answersOf({ disk }: MemberFolder): Promise<ReadonlyMap<string, (query: URLSearchParams) => Promise<object>>> {
  const identity = await readGatewayIdentity(disk);
  const cluster = await boundCluster(disk);
  const authority = (query: URLSearchParams): Promise<object> => signAuthority(cluster, identity, controllerNamed(cluster, query.get('controller')), systemClock);
  return new Map([[AUTHORITY_PATH, async (query: URLSearchParams) => authority(query)]]);
}

/** Where the S3 door stands and what it shows, settled before the folder is touched. */
interface Door {
  readonly host: string;
  readonly port: number;
  readonly certificate: CertificatePaths | undefined;
}

async function doorOf(options: GatewayRunOptions): Promise<Door> {
  const certificate = certificatePaths(options.tlsCert, options.tlsKey);
  // Read again when the door opens: here, so that a file that is not there is said first.
  if (certificate !== undefined) await readCertificate(certificate);
  return { ...parseListen(options.listen), certificate };
}

function watchCertificate(folder: MemberFolder, server: HttpServer, paths: CertificatePaths): void {
  const { telemetry } = folder;
  const watch = new CertificateWatch({ paths, clock: systemClock, telemetry, renew: (tls) => server.renewTls(tls) });
  folder.onEnd(() => Promise.resolve(watch.stop()));
}

async function startGateway(folder: MemberFolder, options: GatewayRunOptions, door: Door): Promise<Gateway> {
  const { disk, telemetry } = folder;
  const identity = await readGatewayIdentity(disk);
  const cluster = await bindCluster(disk, options.config, (document) => requireWriter(document, identity));
  const rootSecret = await readRootSecret(disk);
  const { ownerId } = new OwnerKeys(rootSecret);
  const credentials = await FileCredentials.open({ folder: folder.path, disk, ownerId, clock: systemClock, telemetry });
  const webhooks = await WatchedWebhooks.open(disk, systemClock, telemetry);
  folder.onEnd(() => webhooks.close());
  const identityTls = await makeTlsIdentity({ seed: identity.tlsSeed, commonName: 'holdfast-gateway' });
  const gateway = await Gateway.start({
    cluster,
    gatewayId: identity.id,
    signingKey: identity.signingKey,
    rootSecret,
    lookup: credentials.lookup,
    accounts: credentials,
    quotas: credentials,
    webhooks: webhooks.byName,
    postWebhook,
    transport: new TlsTransport({ identity: identityTls, telemetry, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    telemetry,
    workspaces: new WorkspacePool(wasmCodec, { workspaceCount: WORKSPACES, cellCountMax: cluster.slots.length, cellBytesMax: CELL_BYTES_MAX }),
    disk,
    store: await openLevelStore(path.join(folder.path, INDEX_FOLDER)),
    onEvidence: await keepEvidence(disk, telemetry),
    uploadQuota: uploadQuotaOf(options),
    ...lifecycleOf(options),
    ...rootsOf(folder.path, options),
  });
  folder.onEnd(() => gateway.stop());
  const uses = await KeyUseFile.open({ disk, clock: systemClock, telemetry, uses: () => gateway.keyUses() });
  folder.onEnd(() => uses.close());
  const tls = door.certificate === undefined ? undefined : await readCertificate(door.certificate);
  const server = await startHttpServer({
    handler: gateway.handle,
    bindAddress: door.host,
    port: door.port,
    telemetry,
    ...(tls === undefined ? {} : { tls }),
    onBroken: (error) => folder.fail(error),
  });
  if (door.certificate !== undefined) watchCertificate(folder, server, door.certificate);
  folder.onEnd(() => server.stop(REQUESTS_END_MS));
  tellParent({ type: 'listening', address: server.origin });
  telemetry.event('info', 'listening', { address: server.origin, cluster: hex(cluster.id.subarray(0, 8)) });
  return gateway;
}

function uploadQuotaOf({ uploadsMax, uploadBytesMax }: GatewayRunOptions): UploadQuota {
  return { uploads: uploadsMax ?? DEFAULT_UPLOAD_QUOTA.uploads, bytes: uploadBytesMax ?? DEFAULT_UPLOAD_QUOTA.bytes };
}

const ROOTS_KEPT = 30;
const HOUR_MS = 3_600_000;

function rootsOf(folder: string, { rootsEveryHours, rootsKept }: GatewayRunOptions): Partial<GatewayOptions> {
  if (rootsEveryHours === undefined) return {};
  const kept = rootsKept ?? ROOTS_KEPT;
  if (kept > ROOTS_KEPT_MAX) throw new OperationError('BAD_ARGUMENT', `--roots-kept ${kept}: at most ${ROOTS_KEPT_MAX} are kept.`);
  const openHistory = (): Promise<KeyValueStore> => openLevelStore(path.join(folder, HISTORY_FOLDER));
  return { roots: { everyMs: rootsEveryHours * HOUR_MS, kept, openHistory } };
}

function lifecycleOf({ lifecycle }: GatewayRunOptions): Partial<GatewayOptions> {
  if (lifecycle === undefined) return {};
  return { lifecycleTime: lifecycle.time, tuning: { lifecycleMs: lifecycle.pauseMs } };
}

function requireWriter(cluster: Cluster, { id, signingKey, tlsKey }: GatewayIdentity): void {
  const writer = cluster.writerById(id);
  if (writer !== undefined && equal(writer.signingKey, signingKey.publicKey) && equal(writer.tlsKey, tlsKey)) return;
  throw new OperationError('BAD_CONFIG', `The configuration does not name gateway ${hex(id.subarray(0, 8))} as a writer.`, {
    remedy: 'Use the configuration that was made from the join request of this folder.',
  });
}

/** Asks until a quorum of storage nodes has answered once. */
async function untilReached(gateway: Gateway, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await gateway.store.listBuckets();
      return;
    } catch (error) {
      if (!isOperationError(error)) throw error;
      await systemClock.sleep(PROBE_MS, signal);
    }
  }
}

/** The last colon parts host and port; brackets around an IPv6 address are taken off. */
function parseListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port > 65_535) {
    throw new OperationError('BAD_ARGUMENT', `--listen ${JSON.stringify(text)}: expected host:port.`);
  }
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}
