/**
 * The refusals of PREPARE, one rule at a time (protocol 5, P1 to P10, and 13.2): each request is right in
 * everything but one rule, so that it is accepted as soon as that rule is gone.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { signedManifestToWire } from '../../src/protocol/manifest.ts';
import type { Manifest } from '../../src/protocol/manifest.ts';
import { SYSTEM_BUCKET_ID } from '../../src/protocol/bucket-record.ts';
import { COUNTER_STEP_MAX, ZERO_STAMP } from '../../src/protocol/stamp.ts';
import { drawn, idOf, RawWriter } from '../../src/sim/adversaries/raw-writer.ts';
import type { Answer, RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { seededKey } from '../../src/sim/members.ts';
import { World } from '../world/world.ts';

const NODE = 0;
let world: World;
let writer: RawWriter;
let next = 0;

beforeAll(async () => {
  world = await World.start({
    n: 6,
    k: 3,
    writers: 4,
    amend: (config) => ({
      ...config,
      uncertifiedBytesMax: 3_000_000,
      writers: config.writers.map((w, i) => ({ ...w, capabilities: i === 1 ? [] : i === 2 ? ['write'] : ['write', 'buckets', 'resolve'] })),
    }),
  });
  writer = new RawWriter(world);
  await writer.openBucket();
});
afterAll(() => world.stop());

const freshKey = (): string => `key ${(next += 1)}`;

function refusalOf(answer: Answer<'PREPARE'>): { readonly code: string; readonly reason: string } | 'accepted' {
  return answer.ok ? 'accepted' : { code: answer.refused.code, reason: answer.refused.reason };
}

async function prepared(amend: (manifest: Manifest) => Manifest, by: RawWriter = writer): Promise<unknown> {
  return refusalOf(await by.prepare(NODE, by.version({ key: freshKey(), counter: 1, amend })));
}

function refused(code: string, reason: string): unknown {
  return { code, reason: expect.stringContaining(reason) as string };
}

/** A second writer of the same bucket. */
function other(index: number, session: string = 'session'): RawWriter {
  const by = new RawWriter(world, index, session);
  by.under({ gen: 1, counter: 1, writerId: writer.writerId });
  return by;
}

describe('a storage node gives a receipt', () => {
  it.each(['DATA', 'INLINE', 'TOMBSTONE'] as const)('for a %s manifest that breaks no rule', async (kind) => {
    expect(refusalOf(await writer.prepare(NODE, writer.version({ key: freshKey(), counter: 1, kind })))).toBe('accepted');
  });

  it('for contents of several stripes that came before, and for a table of contents that it holds', async () => {
    const parts = ['a', 'b'].map((name) => writer.version({ key: freshKey(), counter: 1, content: name, size: 7000 }));
    for (const part of parts) expect(refusalOf(await writer.prepare(NODE, part))).toBe('accepted');
    const table = writer.version({ key: freshKey(), counter: 1, kind: 'TABLE', parts });
    expect(refusalOf(await writer.prepare(NODE, table))).toBe('accepted');
  });

  it('with the same place in its log whenever the same is asked', async () => {
    const version = writer.version({ key: freshKey(), counter: 1 });
    const answers = await Promise.all([1, 2, 3].map(() => writer.prepare(NODE, version)));
    answers.push(await writer.prepare(NODE, version));
    const places = answers.map((answer) => (answer.ok ? answer.answer.logIndex : null));
    expect(new Set(places).size).toBe(1);
    expect(places[0]).not.toBeNull();
  });
});

describe('a storage node gives no receipt', () => {
  it('P1: to a sender that does not own the writer session', async () => {
    const version = writer.version({ key: freshKey(), counter: 1 });
    expect(refusalOf(await other(3).prepare(NODE, version))).toEqual(refused('BAD', 'P1: the sender'));
  });

  it('P1: for a manifest that the writer did not sign', async () => {
    const version = writer.version({ key: freshKey(), counter: 1, signer: seededKey('somebody else') });
    expect(refusalOf(await writer.prepare(NODE, version))).toEqual(refused('BAD', 'P1: the manifest signature'));
  });

  it('P1: for a stamp of another process start than the one it names', async () => {
    const amend = (m: Manifest): Manifest => ({ ...m, stamp: { ...m.stamp, writerId: idOf('another').subarray(0, 16) } });
    expect(await prepared(amend)).toEqual(refused('BAD', 'writerId is not that of the session'));
  });

  it('P2: in another epoch, and shows its configuration', async () => {
    const version = writer.version({ key: freshKey(), counter: 1, amend: (m) => ({ ...m, epoch: 2 }) });
    const answer = await writer.prepare(NODE, version);
    expect(refusalOf(answer)).toEqual(refused('CONFIG_STALE', 'P2'));
    expect(!answer.ok && answer.refused.document).toEqual(world.cluster.document);
  });

  it('P3: to a gateway that may not write', async () => {
    expect(await prepared((m) => m, other(1))).toEqual(refused('DENIED', 'P3: not a writer'));
  });

  it('P3: for a suite below the minimum, or one that it does not know', async () => {
    expect(await prepared((m) => ({ ...m, suite: 0 }))).toEqual(refused('DENIED', 'P3: suite below'));
    expect(await prepared((m) => ({ ...m, suite: 2 }))).toEqual(refused('DENIED', 'P3: suite unknown'));
  });

  it('P3: for a bucket record to a gateway that may not change buckets', async () => {
    const by = other(2);
    expect(refusalOf(await by.prepare(NODE, by.record(2)))).toEqual(refused('DENIED', 'P3: the writer may not change buckets'));
  });

  it('P4: for another number of slots, or a k that the configuration or the bucket does not allow', async () => {
    expect(await prepared((m) => ({ ...m, n: 5 }))).toEqual(refused('BAD', 'P4: n = 5'));
    expect(await prepared((m) => ({ ...m, k: 5 }))).toEqual(refused('BAD', 'P4: k = 5'));
    expect(await prepared((m) => ({ ...m, k: 1 }))).toEqual(refused('BAD', 'P4: k = 1'));
    expect(await prepared((m) => ({ ...m, k: 4 }))).toEqual(refused('BAD', 'P4: the bucket does not allow'));
  });

  it('P5: for a cell that is not the one of its row', async () => {
    const version = writer.version({ key: freshKey(), counter: 1 });
    const cells = [version.cells[0]?.map((cell) => Uint8Array.from(cell, (byte) => byte ^ 1)) ?? []];
    expect(refusalOf(await writer.prepare(NODE, { ...version, cells }))).toEqual(refused('BAD', 'P5: the cell is not'));
  });

  it("P5: for another slot's cell", async () => {
    const version = writer.version({ key: freshKey(), counter: 1 });
    const cells = [[...(version.cells[0] ?? [])].reverse()];
    expect(refusalOf(await writer.prepare(NODE, { ...version, cells }))).toEqual(refused('BAD', 'P5: the cell is not'));
  });

  it('P5: for a row that is not under the matrix root', async () => {
    const [version, wrong] = [writer.version({ key: freshKey(), counter: 1 }), writer.version({ key: freshKey(), counter: 1 })];
    expect(refusalOf(await writer.prepare(NODE, { ...version, cells: wrong.cells, rows: wrong.rows }))).toEqual(
      refused('BAD', 'P5: the row is not'),
    );
  });

  it('P5: for uploaded cells of another content, in another order, or fewer', async () => {
    const version = writer.version({ key: freshKey(), counter: 1, size: 7000 });
    const wrong = writer.version({ key: freshKey(), counter: 1, size: 7000 });
    expect(refusalOf(await writer.prepare(NODE, version, { upload: await writer.upload(NODE, wrong) }))).toEqual(
      refused('BAD', 'P5: the cells are not those'),
    );
    const swapped = { ...version, cells: [...version.cells].reverse(), rows: [...version.rows].reverse() };
    await expect(writer.upload(NODE, swapped)).rejects.toThrow('only the last cell');
    const short = { ...version, cells: version.cells.slice(0, 2), rows: version.rows.slice(0, 2) };
    expect(refusalOf(await writer.prepare(NODE, version, { upload: await writer.upload(NODE, short) }))).toEqual(
      refused('BAD', 'P5: the cells are not those'),
    );
  });

  it('P5: for a content whose size is not what its cells hold', async () => {
    const version = writer.version({ key: freshKey(), counter: 1, amend: (m) => ({ ...m, size: m.size - 900 }) });
    expect(refusalOf(await writer.prepare(NODE, version))).toEqual(refused('BAD', 'P5: the cell has another length'));
  });

  it('P5: for a body that is not the one of the manifest', async () => {
    const version = writer.version({ key: freshKey(), counter: 1, kind: 'INLINE' });
    expect(refusalOf(await writer.prepare(NODE, { ...version, body: drawn('other', version.body.length) }))).toEqual(
      refused('BAD', 'P5: the body is not'),
    );
    expect(refusalOf(await writer.prepare(NODE, { ...version, body: drawn('other', 5) }))).toEqual(
      refused('BAD', 'P5: the inline body has another length'),
    );
  });

  it('P5: for a table that names a content which it does not hold, or holds in another shape', async () => {
    const part = writer.version({ key: freshKey(), counter: 1 });
    const table = writer.version({ key: freshKey(), counter: 1, kind: 'TABLE', parts: [part] });
    expect(refusalOf(await writer.prepare(NODE, table))).toEqual(refused('NOT_HELD', 'P5: the node does not hold a part'));
    expect(refusalOf(await writer.prepare(NODE, part))).toBe('accepted');
    const { signed } = part;
    const resized = { ...part, signed: { ...signed, manifest: { ...signed.manifest, size: 999 } } };
    const wrong = writer.version({ key: freshKey(), counter: 1, kind: 'TABLE', parts: [resized] });
    expect(refusalOf(await writer.prepare(NODE, wrong))).toEqual(refused('NOT_HELD', 'P5: the node does not hold a part'));
  });

  it('P6: at or below the highest certificate, and shows it', async () => {
    const key = freshKey();
    const cert = await writer.write(writer.version({ key, counter: 5 }));
    for (const counter of [4, 5]) {
      // A later writer session, so that no stamp is used twice.
      const by = other(0, counter === 4 ? 'later' : lowerSession());
      const answer = await by.prepare(NODE, by.version({ key, counter }));
      expect(refusalOf(answer)).toEqual(refused('SUPERSEDED', 'P6'));
      expect(!answer.ok && answer.refused.cert).toEqual(cert);
    }
  });

  it('P7: of another generation than the bucket', async () => {
    expect(await prepared((m) => ({ ...m, stamp: { ...m.stamp, gen: 2 } }))).toEqual(refused('BAD', 'P7'));
  });

  it('P7: too far above the highest certified counter, until it is shown one that is near', async () => {
    const key = freshKey();
    expect(refusalOf(await writer.prepare(NODE, writer.version({ key, counter: COUNTER_STEP_MAX + 1 })))).toEqual(refused('COUNTER', 'P7'));
    const predecessor = writer.version({ key, counter: 7 });
    const prevCert = writer.certificate(predecessor, await writer.receipts(predecessor, [1, 2, 3, 4, 5]));
    const far = writer.version({ key, counter: COUNTER_STEP_MAX + 7 });
    expect(refusalOf(await writer.prepare(NODE, far, { prevCert }))).toBe('accepted');
  });

  it('P8: for a second manifest of one stamp, and shows the first', async () => {
    const key = freshKey();
    const first = writer.version({ key, counter: 1 });
    await writer.prepare(NODE, first);
    const answer = await writer.prepare(NODE, writer.version({ key, counter: 1, content: 'another' }));
    expect(refusalOf(answer)).toEqual(refused('EQUIVOCATION', 'P8'));
    expect(!answer.ok && answer.refused.manifest).toEqual(signedManifestToWire(first.signed));
  });

  it('P8: for a second manifest of one stamp that came at the same moment', async () => {
    const key = freshKey();
    const both = ['x', 'y'].map((content) => writer.prepare(NODE, writer.version({ key, counter: 1, content })));
    const outcomes = (await Promise.all(both)).map(refusalOf);
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(1);
  });

  it('P8: where it promised never to', async () => {
    const key = freshKey();
    const version = writer.version({ key, counter: 1 });
    const { keyId, stamp } = version.signed.manifest;
    expect((await writer.ask(NODE, { t: 'RESOLVE', keyId, stamp, promise: true })).ok).toBe(true);
    expect(refusalOf(await writer.prepare(NODE, version))).toEqual(refused('CONFLICT', 'P8: this node promised never'));
  });

  it('P9: above the bytes that a writer may hold uncertified', async () => {
    const by = other(3);
    const large = (): RawVersion => by.version({ key: freshKey(), counter: 1, size: 3 * 900_000 - 16, cellBytes: 900_096 });
    const versions = [large(), large(), large()];
    for (const version of versions) expect(refusalOf(await by.prepare(NODE, version))).toBe('accepted');
    expect(refusalOf(await by.prepare(NODE, large()))).toEqual(refused('BUSY', 'P9'));
    // What is certified no longer counts, and another writer was never hindered.
    expect(await prepared((m) => m)).toBe('accepted');
    await by.write(versions[0] as RawVersion);
    expect(refusalOf(await by.prepare(NODE, large()))).toBe('accepted');
  });

  it('P10: for a retention that the bucket does not grant', async () => {
    expect(await prepared((m) => ({ ...m, retainUntil: 1 }))).toEqual(refused('DENIED', 'P10'));
  });

  it('13.2: under a bucket record that it lacks, until it is shown it', async () => {
    const by = new RawWriter(world);
    const record = by.version({
      key: 'unknown bucket',
      counter: 1,
      kind: 'INLINE',
      amend: (m) => ({ ...m, bucketId: SYSTEM_BUCKET_ID, bucketStamp: ZERO_STAMP, clear: by.record(1, { bucketId: idOf('unknown bucket') }).signed.manifest.clear }),
    });
    const cert = by.certificate(record, await by.receipts(record, [1, 2, 3, 4, 5]));
    by.under(record.signed.manifest.stamp);
    const version = by.version({ key: freshKey(), counter: 1, amend: (m) => ({ ...m, bucketId: idOf('unknown bucket') }) });
    expect(refusalOf(await by.prepare(NODE, version))).toEqual(refused('BUCKET_UNKNOWN', '13.2'));
    expect(refusalOf(await by.prepare(NODE, version, { record: cert }))).toBe('accepted');
  });

  it('13.2: for a clear part outside bucket records', async () => {
    expect(await prepared((m) => ({ ...m, clear: utf8('x') }))).toEqual(refused('BAD', '13.6: attributes are INLINE'));
  });

  it('13.2: for a bucket record that stands under another identifier, or is none', async () => {
    const record = writer.record(2);
    const moved = { ...record, signed: writer.sign({ ...record.signed.manifest, keyId: idOf('elsewhere') }) };
    expect(refusalOf(await writer.prepare(NODE, moved))).toEqual(refused('BAD', 'its own identifier'));
    const empty = { ...record, signed: writer.sign({ ...record.signed.manifest, clear: utf8('nothing') }) };
    expect(refusalOf(await writer.prepare(NODE, empty))).toEqual(refused('BAD', '13.2: bucket record'));
  });
});

describe('a bucket record that has changed', () => {
  it('13.2: refuses manifests under the older one, and all once it is closing', async () => {
    const own = await World.start({ n: 4 });
    try {
      const by = new RawWriter(own);
      await by.openBucket();
      const under = by.version({ key: 'k', counter: 1 });
      const closing = by.record(2, { state: 'CLOSING' });
      const cert = await by.write(closing);
      const answer = await by.prepare(NODE, under);
      expect(refusalOf(answer)).toEqual(refused('BUCKET_STALE', 'has changed'));
      expect(!answer.ok && answer.refused.cert).toEqual(cert);
      by.under(closing.signed.manifest.stamp);
      expect(refusalOf(await by.prepare(NODE, by.version({ key: 'k', counter: 1 })))).toEqual(refused('BUCKET_STALE', 'is CLOSING'));
    } finally {
      await own.stop();
    }
  });
});

/** A session whose writerId is below that of the first, so that an equal counter is below it too. */
function lowerSession(): string {
  for (let i = 0; ; i += 1) {
    const by = new RawWriter(world, 0, `lower ${i}`);
    if ((by.writerId[0] ?? 0) < (writer.writerId[0] ?? 0)) return `lower ${i}`;
  }
}
