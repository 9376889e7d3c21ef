/**
 * Signed notes (C2SP signed-note): a text ending in a newline, an empty line, then one line per signature, `—
 * <key name> <base64 of key id and signature>`. The signature covers the text alone, so others can add theirs
 * later. Parsing is strict and total: any text may be given, and what is accepted formats back to itself. A
 * note's text means nothing before `openNote` has found a signature of a known key on it.
 */
import { assert } from '../base/assert.ts';
import { concat, utf8 } from '../base/bytes.ts';
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES, sha256 } from '../crypto/primitives.ts';
import { fromBase64, toBase64 } from './base64.ts';

/** C2SP asks for at least 16; one log signature and a cosignature of every witness of a large cluster. */
export const NOTE_SIGNATURES_MAX = 64;
export const NOTE_CHARS_MAX = 64 * 1024;
const KEY_NAME_CHARS_MAX = 256;

/** Signature type of plain Ed25519 over the text. */
export const NOTE_ED25519 = 0x01;
const KEY_ID_BYTES = 4;

export interface NoteSignature {
  readonly name: string;
  /** First four bytes, big-endian, of the hash that `noteKeyId` computes. */
  readonly keyId: number;
  readonly signature: Uint8Array;
}

export interface Note {
  /** Ends in a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface NoteSigner {
  readonly name: string;
  readonly keyId: number;
  sign(message: Uint8Array): Uint8Array;
}

export interface NoteVerifier {
  readonly name: string;
  readonly keyId: number;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

export type ParsedNote =
  | { readonly ok: true; readonly note: Note }
  | { readonly ok: false; readonly reason: string };

export type OpenedNote =
  | { readonly ok: true; readonly text: string; readonly signers: readonly NoteVerifier[] }
  | {
      readonly ok: false;
      readonly fault: 'malformed' | 'unsigned' | 'bad-signature';
      readonly reason: string;
    };

/** True iff the name may stand in a signature line: no white space, plus or control character, bounded. */
export function isKeyName(name: string): boolean {
  if (name.length === 0 || name.length > KEY_NAME_CHARS_MAX) return false;
  return !/[\p{White_Space}\p{Control}\p{Surrogate}+]/u.test(name);
}

export function noteKeyId(name: string, signatureType: number, publicKey: Uint8Array): number {
  const digest = sha256(utf8(`${name}\n`), new Uint8Array([signatureType]), publicKey);
  return new DataView(digest.buffer, digest.byteOffset, digest.length).getUint32(0);
}

/** A signer with an Ed25519 key; `key` is what crypto/primitives.ts makes from a seed. */
export function ed25519Signer(
  name: string,
  key: { readonly publicKey: Uint8Array; sign(message: Uint8Array): Uint8Array },
): NoteSigner {
  assert(isKeyName(name), 'a key name has no spaces and no plus');
  return { name, keyId: noteKeyId(name, NOTE_ED25519, key.publicKey), sign: (message) => key.sign(message) };
}

/** A verifier of one Ed25519 key; `verify` is the strict check of crypto/primitives.ts. */
export function ed25519Verifier(
  name: string,
  publicKey: Uint8Array,
  verify: (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean,
): NoteVerifier {
  assert(isKeyName(name), 'a key name has no spaces and no plus');
  assert(publicKey.length === PUBLIC_KEY_BYTES, 'an Ed25519 public key has 32 bytes');
  return {
    name,
    keyId: noteKeyId(name, NOTE_ED25519, publicKey),
    verify: (message, signature) =>
      signature.length === SIGNATURE_BYTES && verify(publicKey, message, signature),
  };
}

/** True iff the text may stand in a note: lines that end in newlines, with no other control character. */
export function isNoteText(text: string): boolean {
  // Control characters: U+0000 to U+001F except the newline U+000A.
  return text.endsWith('\n') && !/[\u0000-\u0009\u000b-\u001f\p{Surrogate}]/u.test(text);
}

function signatureLine(signature: NoteSignature): string {
  const id = new Uint8Array(KEY_ID_BYTES);
  new DataView(id.buffer).setUint32(0, signature.keyId);
  return `\u2014 ${signature.name} ${toBase64(concat(id, signature.signature))}\n`;
}

export function formatNote(note: Note): string {
  assert(isNoteText(note.text), 'a note is made of plain lines');
  assert(note.signatures.length > 0, 'a note is signed');
  return `${note.text}\n${note.signatures.map(signatureLine).join('')}`;
}

export function signNote(text: string, signers: readonly NoteSigner[]): string {
  assert(isNoteText(text), 'a note is made of plain lines');
  const message = utf8(text);
  const signatures = signers.map((signer) => ({
    name: signer.name,
    keyId: signer.keyId,
    signature: signer.sign(message),
  }));
  return formatNote({ text, signatures });
}

/** Takes a note apart. Nothing is verified. Any text may be given. */
export function parseNote(note: string): ParsedNote {
  const refuse = (reason: string): ParsedNote => ({ ok: false, reason });
  if (note.length > NOTE_CHARS_MAX) return refuse(`a note has at most ${NOTE_CHARS_MAX} characters`);
  if (!isNoteText(note)) return refuse('a note is made of lines without control characters');
  // The text itself may hold empty lines: the last one separates.
  const separator = note.lastIndexOf('\n\n');
  if (separator < 0) return refuse('no empty line before the signatures');
  const text = note.slice(0, separator + 1);
  const signed = note.slice(separator + 2, -1);
  if (signed.length === 0) return refuse('no signature line');
  const lines = signed.split('\n');
  if (lines.length > NOTE_SIGNATURES_MAX) {
    return refuse(`a note has at most ${NOTE_SIGNATURES_MAX} signatures`);
  }
  const signatures: NoteSignature[] = [];
  const seen = new Set<string>();
  for (const line of lines) {
    const signature = parseSignatureLine(line);
    if (signature === null) return refuse('malformed signature line');
    const key = `${signature.name} ${signature.keyId}`;
    if (seen.has(key)) return refuse('two signatures of one key');
    seen.add(key);
    signatures.push(signature);
  }
  return { ok: true, note: { text, signatures } };
}

function parseSignatureLine(line: string): NoteSignature | null {
  const [dash, name, encoded, ...rest] = line.split(' ');
  if (dash !== '\u2014' || name === undefined || encoded === undefined || rest.length > 0) return null;
  const bytes = fromBase64(encoded);
  if (!isKeyName(name) || bytes === null || bytes.length <= KEY_ID_BYTES) return null;
  return { name, keyId: new DataView(bytes.buffer).getUint32(0), signature: bytes.subarray(KEY_ID_BYTES) };
}

/**
 * Parses a note and verifies every signature whose (name, key id) is known; others are ignored, as C2SP asks.
 * One wrong signature of a known key refuses the whole note; so does none that verifies. `signers` are the
 * verifiers that were satisfied, each at most once, so callers may count them.
 */
export function openNote(note: string, known: readonly NoteVerifier[]): OpenedNote {
  const parsed = parseNote(note);
  if (!parsed.ok) return { ok: false, fault: 'malformed', reason: parsed.reason };
  const { text, signatures } = parsed.note;
  const message = utf8(text);
  const signers: NoteVerifier[] = [];
  for (const { name, keyId, signature } of signatures) {
    const verifier = known.find((candidate) => candidate.name === name && candidate.keyId === keyId);
    if (verifier === undefined) continue;
    if (!verifier.verify(message, signature)) {
      return { ok: false, fault: 'bad-signature', reason: `the signature of ${name} does not verify` };
    }
    signers.push(verifier);
  }
  if (signers.length === 0) return { ok: false, fault: 'unsigned', reason: 'no signature of a known key' };
  return { ok: true, text, signers };
}
