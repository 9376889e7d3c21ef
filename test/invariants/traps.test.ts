/**
 * Traps of section 2 that belong to no single invariant: storage nodes do not read from each other (H16), and
 * what one gateway lists the next one lists too (H17). The others stand with the invariant that they broke.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EMPTY, hex } from '../../src/base/bytes.ts';
import { decodeAnswer, encodeRequest } from '../../src/protocol/messages.ts';
import type { Request, RequestType } from '../../src/protocol/messages.ts';
import { failing } from '../../src/sim/adversaries/nodes.ts';
import { contentOf } from '../world/client-world.ts';
import { keysOf, operationOf, putBytes, startGateway, makeBucket } from '../world/gateway-world.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { seededKey } from '../../src/sim/members.ts';
import { ALL, LIAR, Scene } from './scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.start();
});
afterAll(() => scene.stop());

describe('a storage node (trap H16)', () => {
  /** Asks node 0 with the lying node's own TLS key. */
  async function asNode<T extends RequestType>(request: Request & { readonly t: T }) {
    const { cluster, network } = scene.world;
    const target = cluster.slotAt(0);
    const transport = network.transport(`node-${LIAR}`, hex(seededKey(`node tls ${LIAR}`).publicKey));
    const channel = transport.open(target?.addresses[0] ?? '', hex(target?.tlsKey ?? EMPTY));
    try {
      const frame = await channel.request({ body: encodeRequest(request), payload: EMPTY }, { timeoutMs: 5_000 });
      return { parsed: decodeAnswer(request.t, frame.body), payload: frame.payload };
    } finally {
      await channel.close();
    }
  }

  async function stored(kind: 'DATA' | 'INLINE'): Promise<RawVersion> {
    const version = scene.raw.version({ key: scene.freshKey(), counter: 1, kind });
    await scene.raw.write(version);
    if (kind === 'INLINE') await scene.raw.commit(0, await scene.raw.write(version), version.body);
    return version;
  }

  it('H16: gets no cell and no body from another, by whatever request', async () => {
    const data = await stored('DATA');
    const { manifest, hash: manifestHash } = data.signed;
    const { keyId, stamp, contentId } = manifest;
    const fetched = await asNode({ t: 'FETCH', keyId, manifestHash, stamp, contentId, stripe: 0, leaseMs: 0 });
    expect(fetched.parsed).toMatchObject({ kind: 'refused', refused: { code: 'DENIED' } });
    expect(fetched.payload.length).toBe(0);
    const queried = await asNode({ t: 'QUERY', keyId, cell0: true, seen: null });
    expect(queried.parsed).toMatchObject({ kind: 'answer', answer: { row: null } });
    expect(queried.payload.length).toBe(0);
    // What shows that a node holds a cell would else show that it knows who does.
    const audited = await asNode({ t: 'AUDIT', keyId, manifestHash, stamp, contentId, stripe: 0, nonce: scene.world.random.bytes(32) });
    expect(audited.parsed).toMatchObject({ kind: 'refused', refused: { code: 'DENIED' } });
    expect(audited.payload.length).toBe(0);
    const inline = await stored('INLINE');
    const body = await asNode({ t: 'BODY', keyId: inline.signed.manifest.keyId, manifestHash: inline.signed.hash, stamp, contentId, leaseMs: 0 });
    expect(body.parsed).toMatchObject({ kind: 'refused', refused: { code: 'DENIED' } });
    // A gateway gets them.
    expect((await scene.raw.fetch(0, data)).ok).toBe(true);
    expect((await scene.raw.body(0, inline)).ok).toBe(true);
  });
});

describe('a listing (trap H17)', () => {
  it('H17: that shows an object whose certificate is on one node puts it where the next listing finds it', async () => {
    const own = await Scene.start();
    const { world } = own;
    const gateways = [];
    try {
      const deadlines = { commitMs: 300, completeMs: 300, barrierMs: 4_000 };
      const writer = await startGateway(world, 0, { deadlines });
      gateways.push(writer);
      expect((await makeBucket(writer.store, 'bucket', operationOf())).outcome).toBe('created');
      for (const slot of [1, 2, LIAR]) world.interceptors.set(slot, failing('COMMIT'));
      await putBytes(writer.store, 'bucket', 'half written', contentOf('half', 100)).catch(() => undefined);
      own.hears(0, []);
      world.interceptors.clear();
      // One that hears of it, and one that does not hear the node that it is on.
      own.hears(1, ALL.filter((slot) => slot !== LIAR));
      const first = await startGateway(world, 1, { deadlines });
      gateways.push(first);
      const listed = await keysOf(first.store, 'bucket');
      expect(listed).toEqual(['half written']);
      own.hears(2, ALL.filter((slot) => slot !== 0));
      const second = await startGateway(world, 2, { deadlines });
      gateways.push(second);
      expect(await keysOf(second.store, 'bucket')).toEqual(listed);
    } finally {
      own.calm();
      for (const { gateway } of gateways) await gateway.stop();
      await own.stop();
    }
  });
});
