/**
 * Checkpoints (C2SP tlog-checkpoint; protocol 10): a signed note whose text is a log's origin, its size in
 * decimal and its root in base64. A fresh checkpoint answers a challenge: its text goes on with one extension
 * line `nonce <base64 of 16 bytes>`, so it cannot have been made before it was asked for (the LIST barrier
 * rests on that). No other extension exists: each checkpoint has exactly one text.
 *
 * The note's signature covers plain text without the purpose prefix of other statements; it cannot be
 * mistaken for one, because those contain a zero byte and a note never does. The origin names cluster and
 * node.
 */
import { assert } from '../base/assert.ts';
import { equal, hex } from '../base/bytes.ts';
import { HASH_BYTES } from '../crypto/primitives.ts';
import { fromBase64, toBase64 } from './base64.ts';
import { isKeyName, openNote, signNote } from './signed-note.ts';
import type { NoteSigner, NoteVerifier } from './signed-note.ts';

export const CHECKPOINT_NONCE_BYTES = 16;
const NONCE_LINE = 'nonce ';

export interface Checkpoint {
  /** Name of the log and of its key, from `logOrigin`. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** The asker's 16 bytes, in a fresh checkpoint. */
  readonly nonce: Uint8Array | null;
}

/** A checkpoint whose log signature was verified, with the note that proves it to others. */
export interface SignedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly note: string;
}

export type ParsedCheckpoint =
  | { readonly ok: true; readonly checkpoint: Checkpoint }
  | { readonly ok: false; readonly reason: string };

export type OpenedCheckpoint =
  | { readonly ok: true; readonly signed: SignedCheckpoint }
  | {
      readonly ok: false;
      readonly fault: 'malformed' | 'unsigned' | 'bad-signature' | 'foreign' | 'not-fresh';
      readonly reason: string;
    };

/** Origin of a node's log, which is also the name of the key that signs its checkpoints. */
export function logOrigin(clusterId: Uint8Array, nodeId: Uint8Array): string {
  return `holdfast/1/log/${hex(clusterId)}/${hex(nodeId)}`;
}

/** The note text. The nonce comes from a peer: whoever takes it in checks that it has 16 bytes. */
export function formatCheckpoint({ origin, size, root, nonce }: Checkpoint): string {
  assert(isKeyName(origin), 'an origin is a key name');
  assert(Number.isSafeInteger(size) && size >= 0, 'a size counts leaves');
  assert(root.length === HASH_BYTES, 'a root has 32 bytes');
  const head = `${origin}\n${size}\n${toBase64(root)}\n`;
  if (nonce === null) return head;
  assert(nonce.length === CHECKPOINT_NONCE_BYTES, 'a nonce has 16 bytes');
  return `${head}${NONCE_LINE}${toBase64(nonce)}\n`;
}

/** Reads a note text. Any text may be given; what is accepted formats back to itself. */
export function parseCheckpoint(text: string): ParsedCheckpoint {
  const refuse = (reason: string): ParsedCheckpoint => ({ ok: false, reason });
  const [origin, decimal, root64, ...rest] = text.split('\n');
  if (origin === undefined || decimal === undefined || root64 === undefined || rest.at(-1) !== '') {
    return refuse('a checkpoint has three lines, each ending in a newline');
  }
  if (!isKeyName(origin)) return refuse('the origin is not a key name');
  const size = Number(decimal);
  if (!/^(0|[1-9][0-9]{0,15})$/.test(decimal) || !Number.isSafeInteger(size)) {
    return refuse('the size is not a count');
  }
  const root = fromBase64(root64);
  if (root?.length !== HASH_BYTES) return refuse('the root is not the base64 of 32 bytes');
  const extensions = rest.slice(0, -1);
  const [extension] = extensions;
  if (extension === undefined) return { ok: true, checkpoint: { origin, size, root, nonce: null } };
  const nonce = extension.startsWith(NONCE_LINE) ? fromBase64(extension.slice(NONCE_LINE.length)) : null;
  if (extensions.length > 1 || nonce?.length !== CHECKPOINT_NONCE_BYTES) {
    return refuse('unknown extension line');
  }
  return { ok: true, checkpoint: { origin, size, root, nonce } };
}

/** Signs as the log: the key's name must be the origin. */
export function signCheckpoint(checkpoint: Checkpoint, signer: NoteSigner): SignedCheckpoint {
  assert(signer.name === checkpoint.origin, 'a log signs under its origin');
  return { checkpoint, note: signNote(formatCheckpoint(checkpoint), [signer]) };
}

/**
 * Verifies a checkpoint of the log whose key `log` is, and with `nonce` that it was made for this challenge.
 * Any text may be given. Whether it fits what was seen before is for tail.ts to judge.
 */
export function openCheckpoint(
  note: string,
  log: NoteVerifier,
  nonce: Uint8Array | null = null,
): OpenedCheckpoint {
  const opened = openNote(note, [log]);
  if (!opened.ok) return opened;
  const parsed = parseCheckpoint(opened.text);
  if (!parsed.ok) return { ok: false, fault: 'malformed', reason: parsed.reason };
  const { checkpoint } = parsed;
  if (checkpoint.origin !== log.name) {
    return { ok: false, fault: 'foreign', reason: `the checkpoint is of ${checkpoint.origin}` };
  }
  if (nonce !== null && (checkpoint.nonce === null || !equal(checkpoint.nonce, nonce))) {
    return { ok: false, fault: 'not-fresh', reason: 'the checkpoint was not made for this challenge' };
  }
  return { ok: true, signed: { checkpoint, note } };
}
