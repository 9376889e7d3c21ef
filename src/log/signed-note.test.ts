import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, hex, utf8 } from '../base/bytes.ts';
import { signingKeyFromSeed, verifySignature } from '../crypto/primitives.ts';
import { fromBase64, toBase64 } from './base64.ts';
import {
  NOTE_SIGNATURES_MAX,
  ed25519Signer,
  ed25519Verifier,
  formatNote,
  isKeyName,
  noteKeyId,
  openNote,
  parseNote,
  signNote,
} from './signed-note.ts';

// The key pair and note of the Go module golang.org/x/mod/sumdb/note, the format's first implementation.
const seed = (fromBase64('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz') ?? new Uint8Array()).subarray(1);
const encodedKey = 'ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const publicKey = (fromBase64(encodedKey) ?? new Uint8Array()).subarray(1);
const text =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const published =
  `${text}\n\u2014 PeterNeumann ` +
  'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

const verifier = ed25519Verifier('PeterNeumann', publicKey, verifySignature);
const signer = ed25519Signer('PeterNeumann', signingKeyFromSeed(seed));
const other = ed25519Signer('example.com/w1', signingKeyFromSeed(new Uint8Array(32).fill(9)));

const signatureLines = (count: number): string =>
  Array.from({ length: count }, (_, i) => `\u2014 k${i} AAAAAAA=\n`).join('');

describe('signed note', () => {
  it('the published note opens, and signing its text gives the same bytes', () => {
    expect(verifier.keyId.toString(16)).toBe('c74f20a3');
    expect(openNote(published, [verifier])).toEqual({ ok: true, text, signers: [verifier] });
    expect(signNote(text, [signer])).toBe(published);
  });

  it('key ids are those of other implementations', () => {
    const known = [
      ['EnochRoot', 'af0cfe78', 'ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop'],
      ['example.com/foo', '530d903a', 'AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'],
      ['sum.golang.org', '033de0ae', 'Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8'],
    ] as const;
    for (const [name, id, encoded] of known) {
      const key = fromBase64(encoded) ?? new Uint8Array();
      expect(noteKeyId(name, key[0] ?? 0, key.subarray(1)).toString(16).padStart(8, '0')).toBe(id);
    }
  });

  it("the example of C2SP's own specification parses, with its empty line inside of the text", () => {
    const example =
      'Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u00e8 subito sera.\n\n' +
      '\u2014 quasimodo.example/salvatore ' +
      'NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n';
    const parsed = parseNote(example);
    expect(parsed.ok && parsed.note.text.endsWith(':\n\ned \u00e8 subito sera.\n')).toBe(true);
    expect(parsed.ok && parsed.note.signatures.map(({ name, keyId }) => [name, keyId.toString(16)])).toEqual([
      ['quasimodo.example/salvatore', '367ba04b'],
    ]);
  });

  it('unknown signatures are ignored, also under a known name or id, but one known must verify', () => {
    const both = signNote(text, [other, signer]);
    expect(openNote(both, [verifier])).toMatchObject({ ok: true, signers: [verifier] });
    expect(openNote(both, [])).toMatchObject({ ok: false, fault: 'unsigned' });
    expect(openNote(both, [{ ...verifier, name: 'other' }])).toMatchObject({ ok: false, fault: 'unsigned' });
    expect(openNote(both, [{ ...verifier, keyId: verifier.keyId + 1 }])).toMatchObject(
      { ok: false, fault: 'unsigned' },
    );
  });

  it('a wrong signature of a known key refuses the note even when another key signed rightly', () => {
    const otherVerifier = { name: other.name, keyId: other.keyId, verify: () => false };
    const both = signNote(text, [signer, other]);
    expect(openNote(both, [verifier, otherVerifier])).toMatchObject({ ok: false, fault: 'bad-signature' });
  });

  it('any changed, removed or added character makes the note unopenable', () => {
    const character = fc.constantFrom('x', ' ', '\n', '+', 'A', '\u2014', '');
    fc.assert(
      fc.property(fc.nat({ max: published.length - 1 }), character, (at, by) => {
        for (const altered of [
          published.slice(0, at) + by + published.slice(at + 1),
          published.slice(0, at) + by + published.slice(at),
        ]) {
          if (altered !== published) expect(openNote(altered, [verifier]).ok).toBe(false);
        }
      }),
      { numRuns: 600 },
    );
  });

  it('what parses formats back to itself', () => {
    const line = fc.stringMatching(/^[ -~\u00e8\u2014]{0,20}$/);
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), fc.boolean(), (lines, two) => {
        const note = signNote(`${lines.join('\n')}\n`, two ? [signer, other] : [other]);
        const parsed = parseNote(note);
        expect(parsed.ok && formatNote(parsed.note)).toBe(note);
        expect(parsed.ok && parsed.note.text).toBe(`${lines.join('\n')}\n`);
      }),
    );
  });

  it.each([
    ['no text at all', ''],
    ['no separator', 'a\n'],
    ['no signature', 'a\n\n'],
    ['no final newline', published.slice(0, -1)],
    ['a carriage return', published.replace('\n', '\r\n')],
    ['a zero character', published.replace('If', 'I\u0000')],
    ['a tab', published.replace('If you', 'If\tyou')],
    ['a lone surrogate', published.replace('If', '\ud800')],
    ['a hyphen for the dash', published.replace('\u2014', '-')],
    ['two spaces', published.replace('PeterNeumann ', 'PeterNeumann  ')],
    ['a plus in the name', published.replace('PeterNeumann', 'Peter+Neumann')],
    ['a no-break space in the name', published.replace('PeterNeumann', 'Peter\u00a0Neumann')],
    ['an empty name', published.replace('PeterNeumann', '')],
    ['base64 without padding', published.replace('=', '')],
    ['base64 with unused bits', published.replace('nAM=', 'nAN=')],
    ['an id without a signature', `${text}\n\u2014 a AAAAAA==\n`],
    ['the same key twice', published + published.slice(published.lastIndexOf('\u2014'))],
    ['too many signatures', `a\n\n${signatureLines(NOTE_SIGNATURES_MAX + 1)}`],
    ['too many characters', `${'a'.repeat(70_000)}\n\n\u2014 k AAAAAAA=\n`],
  ])('a note with %s is malformed', (_, note) => {
    expect(parseNote(note).ok).toBe(false);
  });

  it('sixteen signatures and more are accepted, up to the bound', () => {
    for (const count of [1, 16, NOTE_SIGNATURES_MAX]) {
      expect(parseNote(`a\n\n${signatureLines(count)}`).ok).toBe(true);
    }
  });

  it('a key name is not empty, has no space, plus or control character', () => {
    expect(['a', 'example.com/log42', '\u00e8'].every(isKeyName)).toBe(true);
    const bad = ['', 'a b', 'a+b', 'a\nb', 'a\u0085b', 'a\u2003b', 'a\ud800', 'a'.repeat(257)];
    expect(bad.some(isKeyName)).toBe(false);
  });
});

describe('base64', () => {
  it('reads back what it writes, as the platform does', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
        expect(hex(fromBase64(toBase64(bytes)) ?? utf8('refused'))).toBe(hex(bytes));
      }),
    );
    expect(hex(fromBase64('') ?? fromHex('00'))).toBe('');
  });

  it('accepts exactly one text per byte string', () => {
    const cut = ['A', 'AA', 'AAA', '====', 'A===', '=AAA', 'AA=A', 'AAAA='];
    const unusual = ['AB==', 'AAB=', 'A-_A', ' AAA', 'AAA\n'];
    for (const bad of [...cut, ...unusual]) expect(fromBase64(bad)).toBeNull();
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Da-d0-9+/=]{0,12}$/), (candidate) => {
        const bytes = fromBase64(candidate);
        if (bytes !== null) expect(toBase64(bytes)).toBe(candidate);
      }),
    );
  });
});
