/** Copies through whole gateways: sent again, and while what they copy is replaced and collected. */
import { afterEach, describe, expect, it } from 'vitest';
import { EMPTY, utf8 } from '../../src/base/bytes.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import { decodeRequest, encodeRefused } from '../../src/protocol/messages.ts';
import type { ObjectStore } from '../../src/gateway/s3/port/object-store.ts';
import { etagOf, getBytesOf, makeBucket, NO_ATTRIBUTES, operationOf, PLAIN_VERSION, putBytes, removeObject, startGateway } from '../world/gateway-world.ts';
import type { TestGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

const BUCKET = 'photos';
let world: World;
let gateways: TestGateway[] = [];

async function start(): Promise<readonly [TestGateway, TestGateway]> {
  world = await World.start({ n: 4, f: 1, writers: 2 });
  const both = [await startGateway(world, 0), await startGateway(world, 1)] as const;
  gateways = [...both];
  await makeBucket(both[0].store, BUCKET);
  return both;
}

afterEach(async () => {
  for (const { gateway } of gateways.splice(0)) await gateway.stop();
  await world.stop();
});

function copy(store: ObjectStore, from: string, to: string, sourceEtag: string, operation = operationOf()) {
  return store.copyObject({
    ...PLAIN_VERSION,
    bucket: BUCKET,
    key: to,
    source: { bucket: BUCKET, key: from, versionId: undefined },
    sourceEtag,
    sourceCustomerKey: undefined,
    metadata: undefined,
    attributes: { ...NO_ATTRIBUTES, tags: undefined },
    checksum: undefined,
    operation,
  });
}

/** As a node that does not hold what a copy names without sending it. */
const lacksWhatIsNamed: Interceptor = (honest, frame) => {
  const request = decodeRequest(frame.body);
  const isNamed = request.ok && request.value.t === 'STAGE' && request.value.upload === null && request.value.row === null;
  if (!isNamed || frame.payload.length > 0) return honest(frame);
  return Promise.resolve({ body: encodeRefused({ code: 'NOT_HELD', reason: 'the content is not held' }), payload: EMPTY });
};

describe('a copy', () => {
  it('that is sent again is applied once, whether its content moved or not', async () => {
    const [{ store }, other] = await start();
    const content = utf8('x'.repeat(50_000));
    const etag = etagOf(content);
    await putBytes(store, BUCKET, 'source', content);
    const once = operationOf('copy');
    for (const slot of [0, 1, 2, 3]) world.interceptors.set(slot, lacksWhatIsNamed);
    expect(await copy(store, 'source', 'target', etag, once)).toMatchObject({ outcome: 'stored', etag });
    world.interceptors.clear();
    await putBytes(other.store, BUCKET, 'target', utf8('written since'));
    expect(await copy(store, 'source', 'target', etag, once)).toMatchObject({ outcome: 'stored', etag });
    expect(await getBytesOf(other.store, BUCKET, 'target')).toEqual(utf8('written since'));
    // Nor when its source is another by now.
    const changed = utf8('y'.repeat(50_000));
    await putBytes(store, BUCKET, 'source', changed);
    expect(await copy(store, 'source', 'target', etagOf(changed), once)).toMatchObject({ outcome: 'stored', etag });
    expect(await getBytesOf(other.store, BUCKET, 'target')).toEqual(utf8('written since'));
  });

  it('that was acknowledged stays whole while its source is replaced, deleted and collected', async () => {
    const [one, two] = await start();
    const copies: string[] = [];
    const versionOf = (round: number) => utf8(`${round} `.padEnd(40_000, 'x'));
    for (let round = 0; round < 12; round += 1) {
      const content = versionOf(round);
      await putBytes(one.store, BUCKET, 'source', content);
      const ends =
        round % 2 === 0 ? () => removeObject(two.store, BUCKET, 'source') : () => putBytes(two.store, BUCKET, 'source', utf8('other'));
      const [copied] = await Promise.all([copy(one.store, 'source', `copy ${round}`, etagOf(content)), ends()]);
      if (copied.outcome === 'stored') copies.push(`copy ${round}`);
      else expect(['no-such-source', 'source-changed']).toContain(copied.outcome);
    }
    expect(copies.length).toBeGreaterThan(0);
    // Longer than anything waits in quarantine.
    await world.clock.sleep(600);
    for (const key of copies) expect(await getBytesOf(two.store, BUCKET, key)).toEqual(versionOf(Number(key.slice(5))));
    for (const node of world.nodes.values()) expect(node.status().holes).toBe(0);
  });
});
