/**
 * Whole gateways in a test cluster: real storage nodes below, the S3 front's own store interface above, the
 * index in memory and the journal on disk. A gateway can be stopped, killed and started again in its folder.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryLevel } from 'memory-level';
import { concat, hex, utf8 } from '../../src/base/bytes.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import { incremental, sha256 } from '../../src/crypto/primitives.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import type { GatewayOptions } from '../../src/gateway/gateway.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import type { IncomingContent, OperationId } from '../../src/gateway/s3/port/content.ts';
import type { ObjectAttributes, ObjectMetadata, WriteCondition } from '../../src/gateway/s3/port/objects.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { LevelStore } from '../../src/platform/level-store.ts';
import { bodyOf, collectBytes } from './client-world.ts';
import type { World } from './world.ts';

export type TestIndex = MemoryLevel<Uint8Array, Uint8Array>;

export function newIndex(): TestIndex {
  return new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' });
}

export interface TestGateway {
  readonly gateway: Gateway;
  readonly store: ObjectStore;
  readonly index: TestIndex;
}

/**
 * Starts the gateway of one writer. With `index`, one that an earlier start has left; its folder is kept
 * too.
 */
export async function startGateway(
  world: World,
  writer: number = 0,
  options: Partial<GatewayOptions> & { readonly index?: TestIndex } = {},
): Promise<TestGateway> {
  const identity = world.writers[writer];
  if (identity === undefined) throw new Error(`no writer ${writer}`);
  const { index = newIndex(), ...rest } = options;
  await index.open();
  const folder = join(world.folder, identity.name);
  mkdirSync(folder, { recursive: true });
  const gateway = await Gateway.start({
    cluster: world.cluster,
    gatewayId: identity.gatewayId,
    signingKey: identity.signingKey,
    rootSecret: sha256(utf8('root secret of the owner')),
    lookup: () => Promise.resolve(undefined),
    transport: world.network.transport(identity.name, hex(identity.tlsKey.publicKey)),
    clock: world.clock,
    random: world.random,
    telemetry: world.telemetry,
    workspaces: new WorkspacePool(wasmCodec, {
      workspaceCount: 4,
      cellCountMax: world.cluster.geometry.n,
      cellBytesMax: CELL_BYTES_MAX,
    }),
    disk: new NodeDisk(folder),
    store: new LevelStore(index),
    tuning: { upkeepMs: 200, partsKeptMs: 50, closingMs: 1_000 },
    ...rest,
  });
  return { gateway, store: gateway.store, index };
}

export const NO_METADATA: ObjectMetadata = {
  contentType: undefined,
  cacheControl: undefined,
  contentDisposition: undefined,
  contentEncoding: undefined,
  contentLanguage: undefined,
  expires: undefined,
  websiteRedirect: undefined,
  sse: undefined,
  user: [],
};

export const NO_ATTRIBUTES: ObjectAttributes = {
  tags: [],
  accessControl: undefined,
  retention: undefined,
  legalHold: false,
};

/** Account of the tests. */
export const ACCOUNT = 'account of the tests';

/** What most tests leave out of a new version. */
export const PLAIN_VERSION = {
  owner: ACCOUNT,
  attributes: NO_ATTRIBUTES,
  customerKey: undefined,
  condition: undefined,
} as const;

/** Makes a bucket as requests do that ask for nothing in particular. */
export function makeBucket(store: ObjectStore, bucket: string, operation: OperationId = operationOf(), serialised: boolean = true) {
  return store.createBucket({ bucket, owner: ACCOUNT, lockEnabled: false, serialised, documents: {}, operation });
}

export function removeObject(store: ObjectStore, bucket: string, key: string, operation: OperationId = operationOf(), condition?: WriteCondition) {
  const which = { bucket, key, versionId: undefined, owner: ACCOUNT, condition, bypassGovernance: false };
  return store.deleteObject({ ...which, operation });
}

export function headOf(store: ObjectStore, bucket: string, key: string, versionId?: string) {
  return store.headObject({ bucket, key, versionId });
}

let operations = 0;

/** A fresh operation; with a name, one that a client may repeat. */
export function operationOf(name?: string): OperationId {
  operations += 1;
  const id = Uint8Array.from(sha256(utf8(name ?? `random operation ${operations}`)));
  return { id, repeatable: name !== undefined };
}

/** A body as the front hands it down. */
export function contentOfBytes(bytes: Uint8Array): IncomingContent {
  const md5 = incremental('md5');
  let etag: string | undefined;
  async function* hashed(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of bodyOf(bytes)) {
      md5.update(chunk);
      yield chunk;
    }
    etag = hex(md5.digest());
  }
  return {
    size: bytes.length,
    bytes: hashed(),
    seal: () => {
      if (etag === undefined) throw new Error('sealed before the content ended');
      return { etag, checksum: undefined };
    },
  };
}

export function etagOf(bytes: Uint8Array): string {
  const md5 = incremental('md5');
  md5.update(bytes);
  return hex(md5.digest());
}

export function putBytes(
  store: ObjectStore,
  bucket: string,
  key: string,
  bytes: Uint8Array,
  operation: OperationId = operationOf(),
) {
  return store.putObject({ ...PLAIN_VERSION, bucket, key, content: contentOfBytes(bytes), metadata: NO_METADATA, operation });
}

/** The bytes of an object, or the outcome when there is none. */
export async function getBytesOf(
  store: ObjectStore,
  bucket: string,
  key: string,
): Promise<Uint8Array | string> {
  const found = await store.getObject({ bucket, key, versionId: undefined, customerKey: undefined, range: undefined });
  if (found.outcome !== 'found') return found.outcome;
  return concat(await collectBytes(found.read({ from: 0, to: found.info.size })));
}

/** All keys of a bucket in the order of the listing, or the outcome when there is none. */
export async function keysOf(store: ObjectStore, bucket: string): Promise<readonly string[] | string> {
  const listing = await store.openListing(bucket);
  if (listing.outcome !== 'listing') return listing.outcome;
  const rows = await listing.rows(new Uint8Array(0), undefined, 10_000);
  return rows.map((row) => row.key);
}
