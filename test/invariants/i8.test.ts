/**
 * I8, conditional writes: the slot protocol (6.4) is not built. What is built of the invariant is that no
 * write is taken for conditional and then made without its condition: nodes know of no other mode than
 * PLAIN, and the S3 door refuses a condition on a write.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatherReceipts } from '../../src/sim/adversaries/writers.ts';
import { ask, startS3World } from '../../src/gateway/s3/s3-world.contract.ts';
import type { S3World } from '../../src/gateway/s3/s3-world.contract.ts';
import type { Manifest } from '../../src/protocol/manifest.ts';
import { CORRECT, Scene } from './scene.ts';

let scene: Scene;
let s3: S3World;
beforeAll(async () => {
  scene = await Scene.start();
  s3 = await startS3World();
});
afterAll(async () => {
  await s3.close();
  await scene.stop();
});

describe('a conditional write', () => {
  it('I8: gets no receipt as a manifest of another mode, while slots are not built', async () => {
    const { raw } = scene;
    const amend = (m: Manifest): Manifest => ({ ...m, mode: 'SLOT' }) as unknown as Manifest;
    expect(await gatherReceipts(raw, raw.version({ key: 'k', counter: 1, amend }), CORRECT)).toEqual([]);
    expect(await gatherReceipts(raw, raw.version({ key: 'k', counter: 1 }), CORRECT)).toHaveLength(3);
  });

  it.each(['if-none-match', 'if-match'])('I8: with %s is refused at the S3 door, never made without its condition', async (name) => {
    expect((await ask(s3, { method: 'PUT', path: '/bucket' })).status).toBeLessThan(410);
    const put = { method: 'PUT', path: '/bucket/k', body: 'first' };
    expect((await ask(s3, put)).status).toBe(200);
    const conditional = { ...put, body: 'second', headers: { [name]: name === 'if-match' ? '"another"' : '*' } };
    const answer = await ask(s3, conditional);
    expect([answer.status, answer.code]).toEqual([501, 'NotImplemented']);
    expect((await ask(s3, { method: 'GET', path: '/bucket/k' })).text).toBe('first');
  });
});
