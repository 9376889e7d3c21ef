/**
 * Folders that earlier releases wrote are opened by the code as it is now, every file of them: nodes recover and pass
 * their boot check, the gateway reads each object back, lists them, and what was deleted stays deleted.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { hex } from '../../src/base/bytes.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import { openConfiguration } from '../../src/cli/root-configuration.ts';
import { readGatewayIdentity, readNodeIdentity } from '../../src/cli/identity-folder.ts';
import { readAccessKeys, readRootSecret } from '../../src/cli/gateway-folder.ts';
import { sha256, signingKeyFromSeed } from '../../src/crypto/primitives.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { SystemClock } from '../../src/platform/clock.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { openLevelStore } from '../../src/platform/level-store.ts';
import { SystemRandom } from '../../src/platform/random.ts';
import { MemoryNetwork } from '../../src/sim/memory-transport.ts';
import { StorageNode } from '../../src/storage-node/node.ts';
import { collectBytes } from '../world/client-world.ts';
import { CountingTelemetry } from '../../src/sim/counting-telemetry.ts';

const FIXTURES = 'compat/fixtures';

interface Contents {
  readonly bucket: string;
  readonly contents: readonly { readonly key: string; readonly size: number; readonly sha256: string }[];
  readonly gone: readonly string[];
}

function unpack(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    const path = join(from, name);
    if (statSync(path).isDirectory()) unpack(path, join(to, name));
    else if (name.endsWith('.gz')) {
      mkdirSync(to, { recursive: true });
      writeFileSync(join(to, name.slice(0, -3)), gunzipSync(readFileSync(path)), { mode: 0o600 });
    }
  }
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(dir: string): Promise<Gateway> {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const telemetry = new CountingTelemetry();
  const network = new MemoryNetwork({ clock });
  const cluster = openConfiguration(readFileSync(join(dir, 'cluster.cfg')), 'cluster.cfg');
  const nodes = await Promise.all(
    cluster.slots.map(async ({ slot, addresses }) => {
      const disk = new NodeDisk(join(dir, `node-${slot}`));
      const identity = await readNodeIdentity(disk);
      const key = hex(signingKeyFromSeed(identity.tlsSeed).publicKey);
      const transport = network.transport(`node-${slot}`, key);
      const onLost = (error: Error): void => {
        throw error;
      };
      const ports = { disk, clock, random, telemetry, transport, fresh: false, onLost };
      const node = await StorageNode.open({ cluster, slot, signingKey: identity.signingKey, ...ports });
      const address = addresses[0] ?? '';
      const listener = await network.listen({
        name: `node-${slot}`,
        address,
        key,
        allowedPeers: () => cluster.peerKeys(),
        handler: (from, frame) => node.handle(from, frame),
      });
      closers.push(async () => {
        await listener.close();
        await node.stop();
      });
      return node;
    }),
  );
  await Promise.all(nodes.map((node) => node.boot()));
  const disk = new NodeDisk(join(dir, 'gateway'));
  const identity = await readGatewayIdentity(disk);
  expect(await readAccessKeys(disk)).toHaveLength(1);
  const gateway = await Gateway.start({
    cluster,
    gatewayId: identity.id,
    signingKey: identity.signingKey,
    rootSecret: await readRootSecret(disk),
    lookup: () => Promise.resolve(undefined),
    transport: network.transport('gateway', hex(signingKeyFromSeed(identity.tlsSeed).publicKey)),
    clock,
    random,
    telemetry,
    workspaces: new WorkspacePool(wasmCodec, { workspaceCount: 4, cellCountMax: cluster.slots.length, cellBytesMax: CELL_BYTES_MAX }),
    disk,
    store: await openLevelStore(join(dir, 'gateway', 'index')),
  });
  closers.push(() => gateway.stop());
  return gateway;
}

describe.each(readdirSync(FIXTURES).filter((name) => statSync(join(FIXTURES, name)).isDirectory()))('a folder of release %s', (version) => {
  it('is opened, and every object reads back as it was stored', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'holdfast-compat-'));
    closers.push(() => Promise.resolve(rmSync(dir, { recursive: true, force: true })));
    unpack(join(FIXTURES, version), dir);
    expect(dirname(dir)).toBe(tmpdir());
    const expected = JSON.parse(readFileSync(join(FIXTURES, version, 'contents.json'), 'utf8')) as Contents;
    const { store } = await open(dir);
    for (const { key, size, sha256: digest } of expected.contents) {
      const result = await store.getObject({ bucket: expected.bucket, key, versionId: undefined, customerKey: undefined, range: undefined });
      if (result.outcome !== 'found') throw new Error(`${key}: ${result.outcome}`);
      const bytes = size === 0 ? new Uint8Array(0) : await collectBytes(result.read({ from: 0, to: size }));
      expect([result.info.size, hex(sha256(bytes))]).toEqual([size, digest]);
      result.close();
    }
    for (const key of expected.gone) {
      expect((await store.getObject({ bucket: expected.bucket, key, versionId: undefined, customerKey: undefined, range: undefined })).outcome).toBe('no-such-key');
    }
  });
});
