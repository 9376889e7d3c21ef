/** What a node's log proves against it: E3, E4 and E5. */
import { equal, hex, utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { CHECKPOINT_NONCE_BYTES } from '../log/checkpoint.ts';
import type { Checkpoint } from '../log/checkpoint.ts';
import { decodeEntry, encodeEntry } from '../log/entry-types.ts';
import type { Entry } from '../log/entry-types.ts';
import { verifyConsistency } from '../merkle/tree.ts';
import { decodeCertificate } from '../protocol/certificate.ts';
import { decodeCommitted } from '../protocol/log-entries.ts';
import { decodeCommitAck } from '../protocol/receipt.ts';
import type { CommitAckBody } from '../protocol/receipt.ts';
import { compareStamps, stampText } from '../protocol/stamp.ts';
import type { EvidenceOf } from './evidence.ts';
import { nodeAt, notProven, proven } from './finding.ts';
import type { Verdict } from './finding.ts';
import type { Statements } from './statements.ts';

const textOf = ({ size, root }: Checkpoint): string => `checkpoint of size ${size} with root ${hex(root)}`;

/** E3: no one append-only log has both trees. */
export function judgeHistories(statements: Statements, { notes, beginning }: EvidenceOf<'E3'>): Verdict {
  const a = statements.checkpoint(notes[0]);
  const b = statements.checkpoint(notes[1]);
  if (a === null || b === null) return notProven('a checkpoint is not one of a node of this cluster');
  const accused = nodeAt(statements.cluster, a.by.slot);
  if (accused === null || a.by.slot !== b.by.slot) return notProven('the checkpoints are of two nodes');
  const [older, newer] = [a.checkpoint, b.checkpoint];
  const signed = [textOf(older), textOf(newer)];
  if (older.size === newer.size) {
    if (equal(older.root, newer.root)) return notProven('the checkpoints agree');
    return proven(accused, signed, 'A log has one root at each size: these are two histories.');
  }
  if (beginning === null || older.size > newer.size) return notProven('nothing shows that the trees differ');
  const { root, path } = beginning;
  if (!verifyConsistency(older.size, root, newer.size, newer.root, path)) return notProven('the consistency path does not verify');
  if (equal(root, older.root)) return notProven('the larger tree extends the smaller one');
  return proven(
    accused,
    signed,
    `The larger tree begins with ${older.size} entries of root ${hex(root)}, as its consistency path shows: it does not extend the smaller one.`,
  );
}

/**
 * The nonce by which an asker shows later that a checkpoint was made after it had seen another one (E5-log):
 * the node's signature in the note cannot be foreseen, so a checkpoint with this nonce is the later one.
 */
export function commitNonce(salt: Uint8Array, note: string): Uint8Array {
  return sha256(utf8('holdfast/1/checkpoint nonce\0'), salt, utf8(note)).subarray(0, CHECKPOINT_NONCE_BYTES);
}

/** E5-log: the log was larger before. */
export function judgeShrunkLog(statements: Statements, { notes, salt }: EvidenceOf<'E5-log'>): Verdict {
  const earlier = statements.checkpoint(notes[0]);
  const later = statements.checkpoint(notes[1]);
  if (earlier === null || later === null) return notProven('a checkpoint is not one of a node of this cluster');
  const accused = nodeAt(statements.cluster, earlier.by.slot);
  if (accused === null || earlier.by.slot !== later.by.slot) return notProven('the checkpoints are of two nodes');
  const { nonce } = later.checkpoint;
  if (nonce === null || !equal(nonce, commitNonce(salt, notes[0]))) return notProven('nothing shows which checkpoint is the later one');
  if (later.checkpoint.size >= earlier.checkpoint.size) return notProven('the log did not shrink');
  return proven(
    accused,
    [textOf(earlier.checkpoint), `${textOf(later.checkpoint)}, for a challenge that commits to the first`],
    'A log only grows: this node went back to an older state and served on.',
  );
}

/** E4: another entry stands where the promise said that its own would. */
export function judgePlace(statements: Statements, { promise, note, entry }: EvidenceOf<'E4'>): Verdict {
  const signed = statements.checkpoint(note);
  if (signed === null) return notProven('the checkpoint is not one of a node of this cluster');
  const logged = statements.entry(entry, signed.checkpoint);
  if (!statements.hasLeaf(entry, signed.checkpoint)) return notProven('the checkpoint does not have the entry there');
  const opened = openPromise(statements, promise);
  if (opened === null) return notProven('the promise does not verify');
  const accused = nodeAt(statements.cluster, opened.slot);
  if (accused === null || opened.slot !== signed.by.slot) return notProven('promise and checkpoint are of two nodes');
  if (opened.index !== entry.index) return notProven('the promise names another index');
  if (keepsPromise(promise, entry.leaf)) return notProven('the promise was kept');
  return proven(
    accused,
    [`${opened.what} that names log index ${opened.index}`, `${textOf(signed.checkpoint)}, whose entry there is another one${logged === null ? '' : `, ${logged.type}`}`],
    'What a node promises at a place of its log stands there for ever: this node promised before it had written, or wrote its log anew.',
  );
}

/**
 * Does the leaf keep the promise made for its place? The promise must have been verified; malformed ones are
 * kept by nothing.
 */
export function keepsPromise({ purpose, body }: EvidenceOf<'E4'>['promise'], leaf: Uint8Array): boolean {
  if (purpose !== 'commit-ack') return equal(leaf, encodeEntry(purpose === 'receipt' ? 'PREPARED' : 'STAGED', body));
  const acknowledged = decodeCommitAck(body);
  return acknowledged.ok && dominates(decodeEntry(leaf), acknowledged.value);
}

interface PromisedPlace {
  readonly slot: number;
  readonly index: number;
  readonly what: string;
}

function openPromise(statements: Statements, promise: EvidenceOf<'E4'>['promise']): PromisedPlace | null {
  switch (promise.purpose) {
    case 'receipt': {
      const opened = statements.receipt(promise);
      return opened && { slot: opened.by.slot, index: opened.body.logIndex, what: 'a receipt' };
    }
    case 'staged': {
      const opened = statements.stage(promise);
      return opened && { slot: opened.by.slot, index: opened.body.logIndex, what: 'a receipt of a stage' };
    }
    case 'commit-ack': {
      const opened = statements.acknowledgement(promise);
      return opened && { slot: opened.by.slot, index: opened.body.logIndex, what: 'an acknowledgement' };
    }
  }
}

/** The entry by which the node's state was as high as it acknowledged. */
function dominates(entry: Entry | null, { keyId, stamp }: CommitAckBody): boolean {
  const committed = entry?.type === 'COMMITTED' ? decodeCommitted(entry.body) : null;
  return committed?.ok === true && equal(committed.value.keyId, keyId) && compareStamps(committed.value.stamp, stamp) >= 0;
}

/** E5: the answer confirms a log beyond the acknowledged entry, and shows less than that entry made true. */
export function judgeForgotten(statements: Statements, { acknowledgement, shown }: EvidenceOf<'E5'>): Verdict {
  const acknowledged = statements.acknowledgement(acknowledgement);
  if (acknowledged === null) return notProven('the acknowledgement does not verify');
  const { by, body } = acknowledged;
  const signed = statements.answer(by, 'QUERY', shown);
  if (signed?.answer.kind !== 'answer') return notProven('the node did not sign this answer to a QUERY');
  const { request, answer } = signed;
  if (!equal(request.keyId, body.keyId) || request.at !== undefined) return notProven('the answer is about another version');
  const { seen, cert } = answer.answer;
  if (seen === null || seen.size <= body.logIndex) return notProven('the answer may be older than the acknowledgement');
  const highest = cert === null ? null : decodeCertificate(cert);
  const stamp = highest?.ok === true && equal(highest.value.signed.manifest.keyId, body.keyId) ? highest.value.signed.manifest.stamp : null;
  if (stamp !== null && compareStamps(stamp, body.stamp) >= 0) return notProven('the answer shows as much as was acknowledged');
  const accused = nodeAt(statements.cluster, by.slot);
  if (accused === null) return notProven('the node is not in the configuration');
  return proven(
    accused,
    [
      `acknowledgement of stamp ${stampText(body.stamp)} of key ${hex(body.keyId)}, at log index ${body.logIndex}`,
      `answer that confirms its log of ${seen.size} entries, root ${hex(seen.root)}, and shows ${stamp === null ? 'no version' : `stamp ${stampText(stamp)}`} of the key`,
    ],
    'Once an entry is in its log a node never shows less than the entry made true: this one hides a version, or went back to an older state.',
  );
}

