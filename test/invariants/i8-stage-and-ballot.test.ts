/**
 * I8, with STAGE and PROMISE in one message: what a node promises beside a stage binds it as a promise that it
 * was asked for alone, neither of the two hangs on the other, and a writer believes no more than it would of two
 * messages. Beside i8.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BucketAuthority } from '../../src/client/write.ts';
import { encodeCertificate } from '../../src/protocol/certificate.ts';
import { decodeAnswer, encodeAnswer } from '../../src/protocol/messages.ts';
import type { AnswerOf } from '../../src/protocol/messages.ts';
import { NO_RECEIPTS } from '../../src/protocol/slot.ts';
import { requestIn } from '../../src/sim/adversaries/nodes.ts';
import { RawSlots } from '../../src/sim/adversaries/raw-slots.ts';
import { idOf } from '../../src/sim/adversaries/raw-writer.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { bytesContent, contentOf, getBytes, nextOpId, sameBytes } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let bucket: BucketAuthority;
let one: RawSlots;
let two: RawSlots;

beforeEach(async () => {
  scene = await Scene.start();
  const { raw } = scene;
  const own = raw.record(2, { v: 2, mode: 'SERIALISED', gen: 2 });
  const recordCert = await raw.write(own);
  const { stamp } = own.signed.manifest;
  bucket = { ...scene.bucket, gen: 2, stamp, recordCert };
  const writers = [raw, scene.writer(1, 'second')];
  for (const writer of writers) writer.under(stamp);
  [one, two] = writers.map((writer) => new RawSlots(writer)) as [RawSlots, RawSlots];
});
afterEach(() => scene.stop());

const NODE = 0;
const STAGE = idOf('stage').subarray(0, 16);

function dataOf(slots: RawSlots, content: string = 'content', counter: number = 1): RawVersion {
  const options = { key: 'k', counter, content, kind: 'DATA', size: 1_000, terms: { stage: { id: STAGE, slots: CORRECT } } } as const;
  return slots.version({ ...options, amend: (m) => ({ ...m, stamp: { ...m.stamp, gen: 2 } }) });
}

function inlineOf(slots: RawSlots): RawVersion {
  return slots.version({ key: 'k', counter: 1, amend: (m) => ({ ...m, stamp: { ...m.stamp, gen: 2 } }) });
}

type Staged = AnswerOf<'STAGE'>;

async function stage(slot: number, version: RawVersion, round: number, by: RawSlots = one): Promise<Staged> {
  const answer = await by.stage(slot, version, STAGE, by.ballot('k', round));
  if (!answer.ok) throw new Error(answer.refused.reason);
  return answer.answer;
}

const receiptOf = (slot: number, { incarnation, logIndex, proof }: Staged) => ({ slot, incarnation, logIndex, proof });
const codeOf = ({ promise }: Staged): string => (promise === undefined ? 'none' : 'refused' in promise ? promise.refused.code : 'promised');
const code = (answer: { readonly ok: boolean; readonly refused?: { readonly code: string } }): string =>
  answer.ok ? 'accepted' : (answer.refused?.code ?? '');

describe('a node that is asked for a ballot beside a stage', () => {
  it('I8: accepts nothing below it, also after it was killed', async () => {
    expect(codeOf(await stage(NODE, dataOf(one), 5))).toBe('promised');
    expect(code(await two.propose(NODE, inlineOf(two), 4))).toBe('BALLOT');
    await scene.world.kill(NODE);
    await scene.world.restart(NODE);
    expect(code(await two.propose(NODE, inlineOf(two), 4))).toBe('BALLOT');
    expect(code(await two.promise(NODE, 'k', 4))).toBe('BALLOT');
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(1);
  });

  it('I8: answers the same request again alike, and another ballot beside the same stage by itself', async () => {
    const first = await stage(NODE, dataOf(one), 5);
    expect(await stage(NODE, dataOf(one), 5)).toEqual({ ...first, proof: expect.anything() as unknown });
    expect(codeOf(await stage(NODE, dataOf(one), 4))).toBe('BALLOT');
    expect(codeOf(await stage(NODE, dataOf(one), 6))).toBe('promised');
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(1);
  });

  it('I8: tells what it has accepted, body and all', async () => {
    const version = inlineOf(two);
    expect(code(await two.propose(NODE, version, 3))).toBe('accepted');
    const answer = await one.stage(NODE, dataOf(one), STAGE, one.ballot('k', 4));
    if (!answer.ok || answer.answer.promise === undefined || !('accepted' in answer.answer.promise)) throw new Error('no promise');
    expect(answer.answer.promise.accepted?.manifest.body).toEqual(version.signed.body);
    expect(answer.payload).toEqual(version.body);
  });

  it('I8: keeps the stage where it refuses the ballot', async () => {
    expect(code(await two.promise(NODE, 'k', 5))).toBe('accepted');
    const staged = await Promise.all(CORRECT.map(async (slot) => receiptOf(slot, await stage(slot, dataOf(one), 4))));
    expect(codeOf(await stage(NODE, dataOf(one), 4))).toBe('BALLOT');
    expect(code(await one.promise(NODE, 'k', 6))).toBe('accepted');
    expect(code(await one.propose(NODE, dataOf(one), 6, { staged }))).toBe('accepted');
  });

  it('I8: refuses both where the ballot is another gateway\'s, or of another key', async () => {
    const version = dataOf(one);
    expect(code(await one.stage(NODE, version, STAGE, two.ballot('k', 5)))).toBe('BAD');
    expect(code(await one.stage(NODE, version, STAGE, one.ballot('k', 5, { signer: two.raw.identity.signingKey })))).toBe('BAD');
    expect(code(await one.stage(NODE, version, STAGE, one.ballot('another', 5)))).toBe('BAD');
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(0);
    expect(code(await two.promise(NODE, 'k', 1))).toBe('accepted');
  });
});

describe('a stage that its gateway left', () => {
  async function staged(): Promise<readonly ReturnType<typeof receiptOf>[]> {
    return Promise.all(CORRECT.map(async (slot) => receiptOf(slot, await stage(slot, dataOf(one), 1))));
  }

  it('I2: a node promises no end to a stage that a certified version rests on, and shows that', async () => {
    const version = dataOf(one);
    const receipts = await staged();
    const made = await Promise.all(
      CORRECT.map(async (slot) => {
        const answer = await one.propose(slot, version, 1, { staged: receipts });
        if (!answer.ok) throw new Error(answer.refused.reason);
        return { slot, ...answer.answer };
      }),
    );
    const cert = encodeCertificate({ signed: version.signed, ballot: { round: 1, writerId: one.raw.writerId }, receipts: made });
    expect((await one.raw.commit(1, cert)).ok).toBe(true);
    const answer = await one.unstage(1, version, STAGE);
    expect(code(answer)).toBe('CONFLICT');
    expect(answer.ok ? null : answer.refused.cert).toEqual(cert);
    // The others have accepted it: they tell, and none lets go of the content.
    const statements = await Promise.all([0, 2].map((slot) => one.unstage(slot, version, STAGE)));
    expect(statements.map(({ ok }) => ok)).toEqual([true, true]);
  });

  it('I8: its gateway asks for no end of a stage while what rests on it is not settled', async () => {
    const version = dataOf(one);
    const receipts = await staged();
    expect(code(await one.propose(0, version, 1, { staged: receipts }))).toBe('accepted');
    const client = scene.client(0, { deadlines: { prepareMs: 500, resolveMs: 500, queryMs: 500 } });
    let unstaged = 0;
    for (const slot of ALL) {
      scene.world.interceptors.set(slot, (honest, frame) => {
        const type = requestIn(frame)?.t;
        if (type === 'UNSTAGE') unstaged += 1;
        // Nothing is promised: the slot cannot be settled.
        return type === 'PROMISE' || type === 'RESOLVE' ? new Promise(() => undefined) : honest(frame);
      });
    }
    await client.client.endLeftoverStages(0);
    expect(unstaged).toBe(0);
    scene.world.interceptors.clear();
    const left = async (): Promise<readonly (number | undefined)[]> => {
      await client.client.endLeftoverStages(0);
      return CORRECT.map((slot) => scene.world.nodes.get(slot)?.status().stages);
    };
    await expect.poll(left, { timeout: 10_000 }).toEqual([0, 0, 0]);
    // Completed, or let go where those that promised first had not accepted it.
    const head = await client.client.head(idOf('k'));
    if (head !== null) expect(head.signed.hash).toEqual(version.signed.hash);
  });
});

describe('a writer that asks for a ballot beside its stage', () => {
  const bytes = contentOf('own', 20_000);

  function write(client: TestClient) {
    const { content } = bytesContent(bytes);
    const decide = () => Promise.resolve({ removes: 'ALL' } as const);
    return client.client.writeSlot({ bucket, keyId: idOf('k'), opId: nextOpId(), content, decide, needsCertified: false, predecessor: null });
  }

  const asked: string[] = [];
  /** Lets the node that may lie change what it promises beside a stage. */
  function lie(amend: (answer: Staged) => { readonly answer: Staged; readonly payload?: Uint8Array }): void {
    asked.length = 0;
    scene.world.interceptors.set(LIAR, async (honest, frame) => {
      const type = requestIn(frame)?.t ?? '';
      asked.push(type);
      const answered = await honest(frame);
      if (type !== 'STAGE') return answered;
      const decoded = decodeAnswer('STAGE', answered.body);
      if (decoded.kind !== 'answer') return answered;
      const { answer, payload = answered.payload } = amend(decoded.answer);
      return { body: encodeAnswer('STAGE', answer), payload };
    });
  }

  it('I8: asks again, alone, where one that staged has not promised', async () => {
    const client = scene.client(2);
    lie(({ promise: _promise, ...answer }) => ({ answer }));
    scene.hears(2, [1, 2, LIAR]);
    expect((await write(client)).outcome).toBe('committed');
    expect(asked).toContain('PROMISE');
    expect(sameBytes(await getBytes(client, 'k'), bytes)).toBe(true);
  });

  it('I8: needs one round where all that staged have promised', async () => {
    const client = scene.client(2);
    lie((answer) => ({ answer }));
    expect((await write(client)).outcome).toBe('committed');
    expect(asked).not.toContain('PROMISE');
  });

  it('I8: believes no node about what it accepted without the proposal, signed', async () => {
    const client = scene.client(2, { deadlines: { prepareMs: 500, resolveMs: 500, queryMs: 500 } });
    const never = inlineOf(one);
    const proposal = one.proposal(never, 9, two.raw.identity.signingKey);
    const { body, proof } = never.signed;
    lie((answer) => ({ answer: { ...answer, promise: { accepted: { manifest: { body, proof }, proposal, staged: NO_RECEIPTS } } }, payload: never.body }));
    scene.hears(2, [1, 2, LIAR]);
    await write(client);
    expect(client.client.suspicions().map(({ slot, kind }) => `${slot} ${kind}`)).toContain(`${LIAR} BAD_PROMISE`);
    scene.hears(2, ALL);
    expect((await write(client)).outcome).toBe('committed');
    expect(sameBytes(await getBytes(client, 'k'), bytes)).toBe(true);
  });

  it('I8: completes what was accepted before, and follows it', async () => {
    const before = inlineOf(one);
    expect(code(await one.propose(1, before, 3))).toBe('accepted');
    const client = scene.client(2);
    scene.hears(2, [1, 2, LIAR]);
    const result = await write(client);
    expect(result.outcome).toBe('committed');
    if (result.outcome === 'committed') expect(result.signed.manifest.slot?.prev).toEqual(before.signed.hash);
  });
});
