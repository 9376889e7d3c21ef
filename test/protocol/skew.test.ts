/**
 * Members of other versions, and clocks that are wrong. A message that this version does not know is refused
 * as such and changes nothing; answers that it does not know cost their node its vote and nothing more. No
 * promise hangs on the time of day: a cluster whose clocks jump by a day keeps leases, quarantine, stamps and
 * deadlines.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { EMPTY, equal, utf8 } from '../../src/base/bytes.ts';
import type { Frame } from '../../src/base/ports.ts';
import { decode, encode } from '../../src/protocol/encoding.ts';
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../../src/protocol/messages.ts';
import { compareStamps } from '../../src/protocol/stamp.ts';
import { idOf, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import type { Interceptor } from '../../src/sim/adversaries/stage.ts';
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';
import { clientOf, committed, contentOf, getBytes, put, putRecord, recordOf, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { World } from '../world/world.ts';
import type { WorldOptions } from '../world/world.ts';

const NODE = 0;
const DAY_MS = 86_400_000;
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: WorldOptions = {}): Promise<World> {
  const disks = new Map(Array.from({ length: options.n ?? 4 }, (_, slot) => [slot, new FaultyDisk()] as const));
  const world = await World.start({ disks, ...options });
  cleanups.push(() => world.stop());
  return world;
}

function open(world: World): TestClient {
  const opened = clientOf(world);
  cleanups.push(() => opened.client.close());
  return opened;
}

async function holds(writer: RawWriter, version: RawVersion): Promise<boolean> {
  const answer = await writer.fetch(NODE, version);
  return answer.ok && equal(answer.payload, version.cells[0]?.[NODE] ?? EMPTY);
}

const anyMap = z.record(z.string(), z.unknown());

/** The same message with these fields changed or added. */
function amended(body: Uint8Array, fields: Record<string, unknown>): Uint8Array {
  const decoded = decode(anyMap, body, 1 << 20);
  if (!decoded.ok) throw new Error(decoded.reason);
  return encode({ ...decoded.value, ...fields });
}

function nested(depth: number): Uint8Array {
  // Arrays of one element (0x81) around an empty one.
  return Uint8Array.of(...new Array<number>(depth).fill(0x81), 0x80);
}

describe('a message of another version', () => {
  const STATUS = encodeRequest({ t: 'STATUS' });
  const QUERY = encodeRequest({ t: 'QUERY', keyId: idOf('k'), cell0: false, seen: null });

  const UNKNOWN: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['a type that is not known', encode({ t: 'AUDIT', keyId: idOf('k'), round: 3 }), /message/],
    ['no type', encode({ keyId: idOf('k') }), /message/],
    ['a type that is a number', encode({ t: 7 }), /message/],
    ['a field more', amended(QUERY, { since: 5 }), /since/],
    ['a field less', encode({ t: 'QUERY', keyId: idOf('k'), seen: null }), /cell0/],
    ['a field of another type', amended(QUERY, { cell0: 1 }), /cell0/],
    ['a longer hash', amended(QUERY, { keyId: new Uint8Array(48) }), /keyId/],
    ['a name of Object.prototype', amended(STATUS, { constructor: {} }), /constructor/],
    ['nothing in it', EMPTY, /./],
    ['text', utf8('QUERY k'), /./],
    ['another encoding of the same', Uint8Array.of(...STATUS, 0), /./],
    ['very deep nesting', nested(60_000), /./],
  ];

  it('is refused as BAD with the reason, and the node goes on as it was', async () => {
    const world = await start();
    const writer = new RawWriter(world);
    await writer.openBucket();
    const version = writer.version({ key: 'k', counter: 1 });
    await writer.write(version);
    const before = world.nodes.get(NODE)?.status();
    for (const [what, body, says] of UNKNOWN) {
      const answered = await writer.frame(NODE, body, utf8('payload'));
      const parsed = decodeAnswer('STATUS', answered.body);
      expect(parsed, what).toMatchObject({ kind: 'refused', refused: { code: 'BAD', reason: expect.stringMatching(says) as string } });
      const after = world.nodes.get(NODE)?.status();
      expect({ ...after, space: null }, what).toEqual({ ...before, space: null });
      expect(after?.state).toBe('SERVING');
      expect(await holds(writer, version), what).toBe(true);
    }
  });

  it('that nobody asked for costs no connection', async () => {
    const world = await start();
    const client = open(world);
    const bucket = await putRecord(world, client, recordOf(world, 'skew'));
    world.interceptors.set(NODE, (honest, frame, from) => {
      from.notify({ body: encode({ t: 'NEWS', epoch: 2 }), payload: EMPTY });
      return honest(frame);
    });
    committed(await put(client, bucket, 'k', contentOf('k', 100_000)));
    expect(sameBytes(await getBytes(client, 'k'), contentOf('k', 100_000))).toBe(true);
    expect(client.evidence).toEqual([]);
  });

  it.each([
    ['answers with a field more', (body: Uint8Array) => amended(body, { load: 3 })],
    ['answers with a refusal that is not known', () => encode({ refused: { code: 'PAUSED', reason: '', cert: null, manifest: null, document: null, statement: null } })],
    ['answers with something else', () => encode({ ok: true })],
  ] as const)('of a node that %s costs that node its vote and nothing else', async (_what, change) => {
    const world = await start();
    const client = open(world);
    const bucket = await putRecord(world, client, recordOf(world, 'skew'));
    const newer: Interceptor = async (honest, frame): Promise<Frame> => {
      const answered = await honest(frame);
      const request = decodeRequest(frame.body);
      if (!request.ok || request.value.t === 'STATUS') return answered;
      return { ...answered, body: change(answered.body) };
    };
    world.interceptors.set(NODE, newer);
    committed(await put(client, bucket, 'k', contentOf('k', 100_000)));
    expect(sameBytes(await getBytes(open(world), 'k'), contentOf('k', 100_000))).toBe(true);
    const suspected = client.client.suspicions();
    expect(new Set(suspected.map(({ slot }) => slot))).toEqual(new Set([NODE]));
    expect(suspected.map(({ kind }) => kind)).toContain('MALFORMED');
    // Strange is not proven wrong.
    expect(client.evidence).toEqual([]);
    world.interceptors.delete(NODE);
    committed(await put(client, bucket, 'k', contentOf('again', 100_000)));
    expect(sameBytes(await getBytes(open(world), 'k'), contentOf('again', 100_000))).toBe(true);
  });

  it('says in its status which versions of the protocol it speaks', async () => {
    const world = await start();
    const answer = await new RawWriter(world).ask(NODE, { t: 'STATUS' });
    expect(answer).toMatchObject({ ok: true, answer: { protocolMin: 1, protocolMax: 1 } });
    if (answer.ok) expect(decodeAnswer('STATUS', encodeAnswer('STATUS', answer.answer)).kind).toBe('answer');
  });
});

describe.each([DAY_MS, -DAY_MS])('when the time of day of every member jumps by %d ms', (byMs) => {
  const systemNow = Date.now;
  const jump = (ms: number): void => void vi.spyOn(Date, 'now').mockImplementation(() => systemNow() + ms);

  async function until(world: World, what: string, isSo: () => boolean): Promise<void> {
    for (const end = world.clock.monotonicMs() + 8_000; world.clock.monotonicMs() < end; await world.clock.sleep(5)) if (isSo()) return;
    throw new Error(`it never came to pass that ${what}`);
  }

  it('a lease is kept to its end, and what was superseded goes after it', async () => {
    const world = await start({ tuning: { upkeepMs: 5, quarantineMs: 0 } });
    const writer = new RawWriter(world);
    await writer.openBucket();
    const first = writer.version({ key: 'k', counter: 1 });
    await writer.write(first);
    expect((await writer.fetch(NODE, first, 0, 500)).ok).toBe(true);
    jump(byMs);
    const second = writer.version({ key: 'k', counter: 2 });
    await writer.write(second);
    await world.clock.sleep(150);
    expect(await holds(writer, first)).toBe(true);
    await until(world, 'the lease has run out', () => world.nodes.get(NODE)?.status().superseded === 0);
    expect(await holds(writer, second)).toBe(true);
  });

  it('an evicted content stays in quarantine for its whole time, and not for longer', async () => {
    const world = await start({ tuning: { upkeepMs: 5, quarantineMs: 300 } });
    const writer = new RawWriter(world);
    await writer.openBucket();
    await writer.write(writer.version({ key: 'k', counter: 1 }));
    await writer.write(writer.version({ key: 'k', counter: 2 }));
    const node = world.nodes.get(NODE);
    await until(world, 'the first version has gone', () => node?.status().superseded === 0);
    const contents = node?.status().contents ?? 0;
    jump(byMs);
    await world.clock.sleep(150);
    expect(node?.status().contents).toBe(contents);
    await until(world, 'its space is free', () => node?.status().contents === contents - 1);
  });

  it('the later write wins, also that of a session begun after the jump, and restarts serve', async () => {
    const world = await start();
    const before = open(world);
    const bucket = await putRecord(world, before, recordOf(world, 'skew'));
    const old = committed(await put(before, bucket, 'k', contentOf('old', 5_000)));
    jump(byMs);
    const began = performance.now();
    await world.kill(NODE);
    await world.restart(NODE);
    const after = open(world);
    const next = committed(await put(after, bucket, 'k', contentOf('next', 5_000)));
    const last = committed(await put(before, bucket, 'k', contentOf('last', 5_000)));
    const stamps = [old, next, last].map(({ signed }) => signed.manifest.stamp);
    expect(compareStamps(stamps[0] ?? bucket.stamp, stamps[1] ?? bucket.stamp)).toBeLessThan(0);
    expect(compareStamps(stamps[1] ?? bucket.stamp, stamps[2] ?? bucket.stamp)).toBeLessThan(0);
    // Two sessions of one gateway are told apart by their nonces, which are no times.
    expect(equal(stamps[1]?.writerId ?? EMPTY, stamps[2]?.writerId ?? EMPTY)).toBe(false);
    vi.restoreAllMocks();
    expect(sameBytes(await getBytes(open(world), 'k'), contentOf('last', 5_000))).toBe(true);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(before.client.suspicions()).toEqual([]);
  });

  it('a node that does not answer is given up after its deadline, and no deadline is cut short', async () => {
    const world = await start();
    const client = open(world);
    const bucket = await putRecord(world, client, recordOf(world, 'skew'));
    world.network.drop('gateway-0', `node-${NODE}`);
    const work = put(client, bucket, 'k', contentOf('k', 5_000));
    jump(byMs);
    const began = performance.now();
    committed(await work);
    expect(sameBytes(await getBytes(client, 'k'), contentOf('k', 5_000))).toBe(true);
    expect(performance.now() - began).toBeLessThan(8_000);
    expect(client.client.suspicions()).toEqual([]);
  });
});
