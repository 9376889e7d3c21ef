/**
 * I8, conditional writes: of all manifests that follow one version at most one is certified. It rests on what
 * each node does by itself (promises, one manifest a ballot, telling what it accepted) and on what proposers
 * do with what they are told. Races of whole gateways: test/protocol/slots.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { equal } from '../../src/base/bytes.ts';
import type { BucketAuthority } from '../../src/client/write.ts';
import { decodeCertificate, encodeCertificate } from '../../src/protocol/certificate.ts';
import type { SlotTerms } from '../../src/protocol/manifest.ts';
import { NO_RECEIPTS } from '../../src/protocol/slot.ts';
import { decodeAnswer, encodeAnswer } from '../../src/protocol/messages.ts';
import { RawSlots } from '../../src/sim/adversaries/raw-slots.ts';
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import { idOf } from '../../src/sim/adversaries/raw-writer.ts';
import { requestIn } from '../../src/sim/adversaries/nodes.ts';
import { bytesContent, contentOf, getBytes, nextOpId } from '../world/client-world.ts';
import type { TestClient } from '../world/client-world.ts';
import { ALL, CORRECT, LIAR, Scene } from './scene.ts';

let scene: Scene;
let bucket: BucketAuthority;
let one: RawSlots;
let two: RawSlots;

beforeEach(async () => {
  scene = await Scene.start();
  const { raw } = scene;
  // A generation of its own: the mode of one is fixed.
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
const inGeneration = (version: RawSlots, options: Parameters<RawSlots['version']>[0]): RawVersion =>
  version.version({ ...options, amend: (m) => ({ ...m, stamp: { ...m.stamp, gen: 2 } }) });
const code = (answer: { readonly ok: boolean; readonly refused?: { readonly code: string } }): string =>
  answer.ok ? 'accepted' : (answer.refused?.code ?? '');

function write(client: TestClient, key: string, text: string, decide?: () => Promise<SlotTerms | 'decline'>) {
  return client.client.writeSlot({
    bucket,
    keyId: idOf(key),
    opId: nextOpId(),
    content: bytesContent(contentOf(text, 50)).content,
    decide: decide ?? (() => Promise.resolve({ removes: 'ALL' })),
    needsCertified: false,
    predecessor: null,
  });
}

describe('a node', () => {
  it('I8: accepts nothing below a ballot that it has promised, also after it was killed', async () => {
    expect(code(await one.promise(NODE, 'k', 5))).toBe('accepted');
    const late = inGeneration(two, { key: 'k', counter: 1 });
    expect(code(await two.propose(NODE, late, 4))).toBe('BALLOT');
    expect(code(await two.promise(NODE, 'k', 5 - 1))).toBe('BALLOT');
    await scene.world.kill(NODE);
    await scene.world.restart(NODE);
    expect(code(await two.propose(NODE, late, 4))).toBe('BALLOT');
    expect(code(await one.propose(NODE, inGeneration(one, { key: 'k', counter: 1 }), 5))).toBe('accepted');
  });

  it('I8: accepts one manifest in a ballot', async () => {
    expect(code(await one.propose(NODE, inGeneration(one, { key: 'k', counter: 1, content: 'a' }), 3))).toBe('accepted');
    expect(code(await one.propose(NODE, inGeneration(one, { key: 'k', counter: 2, content: 'b' }), 3))).toBe('EQUIVOCATION');
  });

  it('I8: tells whoever asks for a higher ballot what it has accepted, also after it was killed', async () => {
    const first = inGeneration(one, { key: 'k', counter: 1 });
    expect(code(await one.propose(NODE, first, 3))).toBe('accepted');
    const tells = async (round: number): Promise<boolean> => {
      const answer = await two.promise(NODE, 'k', round);
      if (!answer.ok) throw new Error(answer.refused.reason);
      const body = answer.answer.accepted?.manifest.body;
      return body !== undefined && equal(body, first.signed.body) && equal(answer.payload, first.body);
    };
    expect(await tells(4)).toBe(true);
    await scene.world.kill(NODE);
    await scene.world.restart(NODE);
    expect(await tells(5)).toBe(true);
  });

  it('I8: accepts only what follows the newest version that it holds', async () => {
    const first = inGeneration(one, { key: 'k', counter: 1 });
    const elsewhere = inGeneration(one, { key: 'k', counter: 2, after: first });
    expect(code(await one.propose(NODE, elsewhere, 1))).toBe('PREDECESSOR');
    expect(code(await one.promise(NODE, 'k', 1, { prev: first.signed.hash }))).toBe('PREDECESSOR');
  });

  it('I8: takes a proposal from nobody but whoever signed it, and a ballot too', async () => {
    const version = inGeneration(one, { key: 'k', counter: 1 });
    const stolen = one.proposal(version, 3);
    expect(code(await two.propose(NODE, version, 3, { proposal: stolen }))).toBe('BAD');
    const forged = one.proposal(version, 3, two.raw.identity.signingKey);
    expect(code(await one.propose(NODE, version, 3, { proposal: forged }))).toBe('BAD');
    expect(code(await one.promise(NODE, 'k', 3, { signer: two.raw.identity.signingKey }))).toBe('BAD');
    // Another's manifest, in a proposal of one's own, is how an orphan is completed.
    expect(code(await two.propose(NODE, version, 3))).toBe('accepted');
  });

  it('I8: writes a bucket in its mode', async () => {
    const { raw } = one;
    const plain = raw.version({ key: 'k', counter: 1, amend: (m) => ({ ...m, stamp: { ...m.stamp, gen: 2 } }) });
    expect(code(await raw.prepare(NODE, plain))).toBe('BAD');
    const keeping = inGeneration(one, { key: 'k', counter: 1, terms: { removes: [] } });
    expect(code(await one.propose(NODE, keeping, 1))).toBe('BAD');
  });

  it('I8: believes in a content that it does not hold on the word of q others', async () => {
    const data = (slots: readonly number[]): RawVersion =>
      inGeneration(one, { key: 'k', counter: 1, kind: 'DATA', size: 1_000, terms: { stage: { id: STAGE, slots } } });
    const receipts = await Promise.all(
      [1, 2, LIAR].map(async (slot) => {
        const answer = await one.stage(slot, data([1, 2, LIAR]), STAGE);
        if (!answer.ok) throw new Error(answer.refused.reason);
        return { slot, ...answer.answer };
      }),
    );
    expect(code(await one.propose(NODE, data([1, 2]), 1, { staged: receipts.slice(0, 2) }))).toBe('BAD');
    const [first, second, third] = receipts;
    const twice = [first, second, { ...third, ...second, slot: LIAR }] as typeof receipts;
    expect(code(await one.propose(NODE, data([1, 2, LIAR]), 1, { staged: twice }))).toBe('BAD');
    expect(code(await one.propose(NODE, data([1, 2, LIAR]), 1, { staged: receipts }))).toBe('accepted');
  });

  it('I2: keeps a content that comes after the certificate, and charges nobody for it', async () => {
    const slots = [1, 2, LIAR];
    const version = inGeneration(one, { key: 'k', counter: 1, kind: 'DATA', size: 1_000, terms: { stage: { id: STAGE, slots } } });
    const staged = await Promise.all(
      slots.map(async (slot) => {
        const answer = await one.stage(slot, version, STAGE);
        if (!answer.ok) throw new Error(answer.refused.reason);
        return { slot, ...answer.answer };
      }),
    );
    const receipts = await Promise.all(
      slots.map(async (slot) => {
        const answer = await one.propose(slot, version, 1, { staged });
        if (!answer.ok) throw new Error(answer.refused.reason);
        return { slot, ...answer.answer };
      }),
    );
    const cert = encodeCertificate({ signed: version.signed, ballot: { round: 1, writerId: one.raw.writerId }, receipts });
    expect((await one.raw.commit(NODE, cert)).ok).toBe(true);
    expect((await one.raw.fetch(NODE, version)).ok).toBe(false);
    expect(code(await one.stage(NODE, version, STAGE))).toBe('CONFLICT');
    expect((await one.raw.fetch(NODE, version)).ok).toBe(true);
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(0);
  });

  it('I8: accepts nothing on a stage that it has let go, or has promised to', async () => {
    const version = inGeneration(one, { key: 'k', counter: 1, kind: 'DATA', size: 1_000, terms: { stage: { id: STAGE, slots: [0, 1, 2] } } });
    const { keyId } = version.signed.manifest;
    const staged = await Promise.all(
      CORRECT.map(async (slot) => {
        const answer = await one.stage(slot, version, STAGE);
        if (!answer.ok) throw new Error(answer.refused.reason);
        return { slot, ...answer.answer };
      }),
    );
    const statements = await Promise.all(
      CORRECT.map(async (slot) => {
        const answer = await one.raw.ask(slot, { t: 'UNSTAGE', keyId, stageId: STAGE });
        if (!answer.ok) throw new Error(answer.refused.reason);
        return answer.answer;
      }),
    );
    expect(code(await one.propose(NODE, version, 1, { staged }))).toBe('CONFLICT');
    // Whoever staged nothing might still accept: two statements of four are too few.
    const release = (count: number): Promise<string> =>
      one.raw.ask(NODE, { t: 'RELEASE', keyId, stageId: STAGE, statements: statements.slice(0, count) }).then(code);
    expect(await release(2)).toBe('DENIED');
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(1);
    expect(await release(3)).toBe('accepted');
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(0);
  });

  it('I8: keeps what is staged while a manifest that somebody accepted on it may be certified', async () => {
    const version = inGeneration(one, { key: 'k', counter: 1, kind: 'DATA', size: 1_000, terms: { stage: { id: STAGE, slots: [0, 1, 2] } } });
    const { keyId } = version.signed.manifest;
    const staged = await Promise.all(
      CORRECT.map(async (slot) => {
        const answer = await one.stage(slot, version, STAGE);
        if (!answer.ok) throw new Error(answer.refused.reason);
        return { slot, ...answer.answer };
      }),
    );
    expect(code(await one.propose(1, version, 1, { staged }))).toBe('accepted');
    const statements = await Promise.all(
      CORRECT.map(async (slot) => {
        const answer = await one.raw.ask(slot, { t: 'UNSTAGE', keyId, stageId: STAGE });
        if (!answer.ok) throw new Error(answer.refused.reason);
        return answer.answer;
      }),
    );
    expect(code(await one.raw.ask(NODE, { t: 'RELEASE', keyId, stageId: STAGE, statements }))).toBe('CONFLICT');
    expect(scene.world.nodes.get(NODE)?.status().stages).toBe(1);
  });
});

describe('a gateway', () => {
  it('I8: proposes what was accepted in the highest ballot, before anything of its own', async () => {
    const low = inGeneration(one, { key: 'k', counter: 1, content: 'low' });
    const high = inGeneration(two, { key: 'k', counter: 1, content: 'high' });
    expect(code(await one.propose(0, low, 1))).toBe('accepted');
    expect(code(await two.propose(1, high, 2))).toBe('accepted');
    expect(code(await one.propose(2, low, 1))).toBe('accepted');
    const client = scene.client(2);
    // All three are the only quorum.
    scene.hears(2, CORRECT);
    const result = await write(client, 'k', 'own');
    expect(result.outcome).toBe('committed');
    const { slot } = result.outcome === 'committed' ? result.signed.manifest : { slot: null };
    expect(slot?.prev).toEqual(high.signed.hash);
    expect(await getBytes(client, 'k')).toEqual(contentOf('own', 50));
  });

  it('I8: believes no node about what it accepted without the proposal, signed', async () => {
    const client = scene.client(2, { deadlines: { prepareMs: 500, resolveMs: 500, queryMs: 500 } });
    const lie = inGeneration(one, { key: 'k', counter: 1, content: 'never proposed' });
    const proposal = one.proposal(lie, 9, two.raw.identity.signingKey);
    scene.world.interceptors.set(LIAR, async (honest, frame) => {
      if (requestIn(frame)?.t !== 'PROMISE') return honest(frame);
      const answered = await honest(frame);
      if (decodeAnswer('PROMISE', answered.body).kind !== 'answer') return answered;
      const { body, proof } = lie.signed;
      return { body: encodeAnswer('PROMISE', { accepted: { manifest: { body, proof }, proposal, staged: NO_RECEIPTS } }), payload: lie.body };
    });
    scene.hears(2, [1, 2, LIAR]);
    const result = await write(client, 'k', 'own');
    expect(result.outcome === 'committed').toBe(false);
    expect(client.client.suspicions().map(({ slot, kind }) => `${slot} ${kind}`)).toContain(`${LIAR} BAD_PROMISE`);
    scene.hears(2, ALL);
    expect((await write(client, 'k', 'own again')).outcome).toBe('committed');
  });

  it('I8: goes on past a manifest that can never be certified', async () => {
    // Accepted by the liar alone, who says so to everyone; correct nodes refuse it for its retention.
    const stuck = inGeneration(one, { key: 'k', counter: 1, content: 'stuck', terms: { lockMode: 'COMPLIANCE' } });
    const locked: RawVersion = { ...stuck, signed: one.raw.sign({ ...stuck.signed.manifest, retainUntil: 5 }) };
    const proposal = one.proposal(locked, 9);
    scene.world.interceptors.set(LIAR, async (honest, frame) => {
      const answered = await honest(frame);
      if (requestIn(frame)?.t !== 'PROMISE' || decodeAnswer('PROMISE', answered.body).kind !== 'answer') return answered;
      const { body, proof } = locked.signed;
      return { body: encodeAnswer('PROMISE', { accepted: { manifest: { body, proof }, proposal, staged: NO_RECEIPTS } }), payload: locked.body };
    });
    const client = scene.client(2, { deadlines: { prepareMs: 500, resolveMs: 500, queryMs: 500 } });
    scene.hears(2, [0, 1, LIAR]);
    const first = await write(client, 'k', 'own');
    // With one correct node out of reach nothing is certain yet; with it, it is.
    scene.hears(2, ALL);
    const second = first.outcome === 'committed' ? first : await write(client, 'k', 'own');
    expect(second.outcome).toBe('committed');
    for (const slot of CORRECT) {
      const answer = await one.raw.query(slot, 'k');
      const decoded = answer.ok && answer.answer.cert !== null ? decodeCertificate(answer.answer.cert) : null;
      expect(decoded?.ok === true && equal(decoded.value.signed.hash, locked.signed.hash)).toBe(false);
    }
  });
});
