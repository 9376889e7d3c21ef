import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import { signingKeyFromSeed, verifySignature } from '../crypto/primitives.ts';
import {
  formatCheckpoint,
  logOrigin,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from './checkpoint.ts';
import type { Checkpoint } from './checkpoint.ts';
import { ed25519Signer, ed25519Verifier, parseNote, signNote } from './signed-note.ts';

const origin = logOrigin(new Uint8Array(16).fill(1), new Uint8Array(32).fill(2));
const key = signingKeyFromSeed(new Uint8Array(32).fill(5));
const signer = ed25519Signer(origin, key);
const log = ed25519Verifier(origin, key.publicKey, verifySignature);
const nonce = new Uint8Array(16).fill(3);
const checkpoint: Checkpoint = { origin, size: 20_852_163, root: new Uint8Array(32).fill(4), nonce: null };

describe('checkpoint', () => {
  it("the example of C2SP's specification reads as its origin, size and root", () => {
    const example =
      'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n' +
      '\u2014 example.com/behind-the-sofa ' +
      'Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n';
    const note = parseNote(example);
    expect(note.ok).toBe(true);
    const parsed = parseCheckpoint(note.ok ? note.note.text : '');
    expect(parsed.ok && parsed.checkpoint).toMatchObject(
      { origin: 'example.com/behind-the-sofa', size: 20_852_163, nonce: null },
    );
    expect(parsed.ok && hex(parsed.checkpoint.root)).toBe(
      '0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62',
    );
  });

  it("the example of Holdfast's specification is what this key signs", () => {
    const spec = readFileSync(new URL('../../spec/formats/log.md', import.meta.url), 'utf8');
    const example = /^```\n(.*?)```$/ms.exec(spec)?.[1] ?? '';
    const opened = openCheckpoint(example, log, nonce);
    expect(opened).toMatchObject({ ok: true, signed: { checkpoint: { origin, size: 20_852_163 } } });
    expect(opened.ok && signCheckpoint(opened.signed.checkpoint, signer).note).toBe(example);
  });

  it('what is signed opens to the same values, with and without nonce', () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 })),
        (size, root, challenge) => {
          const { note } = signCheckpoint({ origin, size, root, nonce: challenge }, signer);
          const opened = openCheckpoint(note, log, challenge);
          expect(opened).toEqual(
            { ok: true, signed: { checkpoint: { origin, size, root, nonce: challenge }, note } },
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it('a checkpoint made for no or another challenge is not fresh', () => {
    const plain = signCheckpoint(checkpoint, signer).note;
    const fresh = signCheckpoint({ ...checkpoint, nonce }, signer).note;
    expect(openCheckpoint(fresh, log, nonce).ok).toBe(true);
    expect(openCheckpoint(fresh, log).ok).toBe(true);
    expect(openCheckpoint(plain, log, nonce)).toMatchObject({ ok: false, fault: 'not-fresh' });
    expect(openCheckpoint(fresh, log, nonce.with(15, 0))).toMatchObject({ ok: false, fault: 'not-fresh' });
  });

  it('every changed character of a signed checkpoint is refused', () => {
    const { note } = signCheckpoint({ ...checkpoint, nonce }, signer);
    for (let at = 0; at < note.length; at += 1) {
      const by = note[at] === '1' ? '2' : '1';
      expect(openCheckpoint(note.slice(0, at) + by + note.slice(at + 1), log).ok).toBe(false);
      expect(openCheckpoint(note.slice(0, at) + note.slice(at + 1), log).ok).toBe(false);
    }
  });

  it('a rightly signed note that is no checkpoint, or is of another log, is refused', () => {
    expect(openCheckpoint(signNote('hello\n', [signer]), log)).toMatchObject(
      { ok: false, fault: 'malformed' },
    );
    const foreign = signNote(formatCheckpoint({ ...checkpoint, origin: 'other' }), [signer]);
    expect(openCheckpoint(foreign, log)).toMatchObject({ ok: false, fault: 'foreign' });
    const stranger = ed25519Signer(origin, signingKeyFromSeed(new Uint8Array(32).fill(6)));
    const forged = signCheckpoint(checkpoint, stranger).note;
    expect(openCheckpoint(forged, log)).toMatchObject({ ok: false, fault: 'unsigned' });
    const claimed = signCheckpoint(checkpoint, { ...stranger, keyId: log.keyId }).note;
    expect(openCheckpoint(claimed, log)).toMatchObject({ ok: false, fault: 'bad-signature' });
  });

  const root64 = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';
  it.each([
    ['two lines', 'a\n1\n'],
    ['no final newline', `a\n1\n${root64}`],
    ['an empty origin', `\n1\n${root64}\n`],
    ['a space in the origin', `a b\n1\n${root64}\n`],
    ['a leading zero', `a\n01\n${root64}\n`],
    ['a sign', `a\n+1\n${root64}\n`],
    ['a minus', `a\n-1\n${root64}\n`],
    ['hexadecimal', `a\n0x1\n${root64}\n`],
    ['an exponent', `a\n1e3\n${root64}\n`],
    ['a fraction', `a\n1.0\n${root64}\n`],
    ['no size', `a\n\n${root64}\n`],
    ['a size of 2^53', `a\n9007199254740992\n${root64}\n`],
    ['a size of 17 digits', `a\n10000000000000000\n${root64}\n`],
    ['other digits', `a\n\u0661\n${root64}\n`],
    ['a short root', 'a\n1\nAAAA\n'],
    ['a root with unused bits', `a\n1\n${root64.replace('I=', 'J=')}\n`],
    ['an empty extension line', `a\n1\n${root64}\n\n`],
    ['an unknown extension line', `a\n1\n${root64}\nhello\n`],
    ['a nonce of 15 bytes', `a\n1\n${root64}\nnonce AAAAAAAAAAAAAAAAAAAA\n`],
    ['a nonce with two spaces', `a\n1\n${root64}\nnonce  AAAAAAAAAAAAAAAAAAAAAA==\n`],
    ['two nonces', `a\n1\n${root64}\nnonce AAAAAAAAAAAAAAAAAAAAAA==\nnonce AAAAAAAAAAAAAAAAAAAAAA==\n`],
  ])('a text with %s is no checkpoint', (_, text) => {
    expect(parseCheckpoint(text).ok).toBe(false);
  });

  it('the largest size and the empty log are checkpoints', () => {
    for (const size of [0, 2 ** 53 - 1]) {
      const parsed = parseCheckpoint(`a\n${size}\n${root64}\nnonce AAAAAAAAAAAAAAAAAAAAAA==\n`);
      expect(parsed.ok && parsed.checkpoint.size).toBe(size);
    }
  });
});
