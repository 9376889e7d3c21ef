/** What receipts prove against the node that gave them: E2, E10 and E12. */
import { equal, hex } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { decodeAdopt } from '../protocol/log-entries.ts';
import { decodeManifest } from '../protocol/manifest.ts';
import { compareBallots } from '../protocol/slot.ts';
import type { Ballot } from '../protocol/slot.ts';
import { sameStamp, stampText } from '../protocol/stamp.ts';
import type { ReceiptBody } from '../protocol/receipt.ts';
import type { EvidenceOf } from './evidence.ts';
import { nodeAt, notProven, proven } from './finding.ts';
import type { Verdict } from './finding.ts';
import type { Statements } from './statements.ts';

const textOf = ({ manifestHash, keyId, stamp, ballot }: ReceiptBody): string =>
  `receipt for manifest ${hex(manifestHash)} of key ${hex(keyId)} at stamp ${stampText(stamp)}${ballot === undefined ? '' : `, accepted in ballot ${ballotText(ballot)}`}`;

const ballotText = ({ round, writerId }: Ballot): string => `${round}.${hex(writerId)}`;

/** E2: two manifests accepted where one may be: at one stamp (P8), or in one ballot of one slot (6.4). */
export function judgeTwoReceipts(statements: Statements, { receipts, manifests }: EvidenceOf<'E2'>): Verdict {
  const first = statements.receipt(receipts[0]);
  const second = statements.receipt(receipts[1]);
  if (first === null || second === null) return notProven('a receipt does not verify');
  const [a, b] = [first.body, second.body];
  const accused = nodeAt(statements.cluster, a.slot);
  if (accused === null || a.slot !== b.slot) return notProven('the receipts are of two nodes');
  if (equal(a.manifestHash, b.manifestHash)) return notProven('both receipts are for one manifest');
  if (!equal(a.keyId, b.keyId)) return notProven('the receipts are of two keys');
  const signed = [textOf(a), textOf(b)];
  if (sameStamp(a.stamp, b.stamp)) {
    return proven(accused, signed, 'A node accepts one manifest at most for a stamp of a key (P8): with two, two versions could be certified as one.');
  }
  if (a.ballot === undefined || b.ballot === undefined || compareBallots(a.ballot, b.ballot) !== 0) {
    return notProven('the receipts are of two stamps, and of no common ballot');
  }
  const [one, other] = manifests ?? [];
  const [prevA, prevB] = [slotOf(one, a.manifestHash), slotOf(other, b.manifestHash)];
  if (prevA === null || prevB === null) return notProven('the manifests of the receipts are missing, or other ones');
  if (!equal(prevA, prevB)) return notProven('the manifests are for two slots');
  return proven(accused, signed, `Both follow version ${hex(prevA)}: a node accepts one manifest at most in a ballot of a slot (6.4); with two, the slot could be decided twice.`);
}

/** The version that the manifest of this hash follows; null: it is another manifest, or follows none. */
function slotOf(body: Uint8Array | undefined, hash: Uint8Array): Uint8Array | null {
  if (body === undefined || !equal(sha256(body), hash)) return null;
  const decoded = decodeManifest(body);
  return decoded.ok ? (decoded.value.slot?.prev ?? null) : null;
}

/** E10: a receipt of an old epoch, at a place of the log behind the node's own adoption of a later one. */
export function judgeOldReceipt(statements: Statements, { receipt, note, entry }: EvidenceOf<'E10'>): Verdict {
  const given = statements.receipt(receipt);
  if (given === null) return notProven('the receipt does not verify');
  const signed = statements.checkpoint(note);
  if (signed?.by.slot !== given.by.slot) return notProven('the checkpoint is not one of the node');
  const logged = statements.entry(entry, signed.checkpoint);
  const adopted = logged?.type === 'ADOPT' ? decodeAdopt(logged.body) : null;
  if (adopted?.ok !== true) return notProven('the checkpoint has no adoption there');
  const accused = nodeAt(statements.cluster, given.by.slot);
  const { epoch, logIndex } = given.body;
  if (accused === null || adopted.value.epoch <= epoch) return notProven('the epoch adopted is not above that of the receipt');
  if (logIndex <= entry.index) return notProven('the receipt was logged before the adoption');
  return proven(
    accused,
    [
      `a log with the adoption of epoch ${adopted.value.epoch} at index ${entry.index}`,
      `${textOf(given.body)}, of epoch ${epoch}, at index ${logIndex}`,
    ],
    'A node that has adopted an epoch gives no receipt of an earlier one.',
  );
}

/** E12: a receipt for a manifest that the configuration, or its own shape, forbids everybody to accept (P3, P4). */
export function judgeUnlawfulReceipt(statements: Statements, { receipt, manifest: body }: EvidenceOf<'E12'>): Verdict {
  const given = statements.receipt(receipt);
  if (given === null) return notProven('the receipt does not verify');
  if (!equal(sha256(body), given.body.manifestHash)) return notProven('the receipt is for another manifest');
  const accused = nodeAt(statements.cluster, given.by.slot);
  if (given.body.epoch !== statements.cluster.epoch) return notProven('the receipt is to be judged by the configuration of its epoch');
  const fault = unlawfulness(statements.cluster, body, given.body);
  if (accused === null || fault === null) return notProven('the manifest is one that a node may accept');
  return proven(accused, [textOf(given.body)], `No node may accept this manifest: ${fault}.`);
}

/** Why no node may give this receipt for the manifest of this body, whatever it knows; null: one may. */
export function unlawfulness(cluster: Cluster, body: Uint8Array, receipt: ReceiptBody): string | null {
  const decoded = decodeManifest(body);
  if (!decoded.ok) return `it is malformed (${decoded.reason})`;
  const m = decoded.value;
  const { n, f } = cluster.geometry;
  if (!equal(m.keyId, receipt.keyId) || !sameStamp(m.stamp, receipt.stamp)) return 'the receipt gives it another key or stamp';
  if ((receipt.ballot === undefined) !== (m.slot === null)) return 'a ballot belongs to SLOT manifests, and only to them';
  if (m.epoch !== receipt.epoch) return `it is of epoch ${m.epoch}, the receipt of epoch ${receipt.epoch} (P2)`;
  if (m.n !== n || m.k > n - 2 * f) return `${m.k} of ${m.n} cells is no geometry of this cluster (P4)`;
  if (m.suite !== cluster.config.suiteMin) return `suite ${m.suite} is not one of this configuration (P3)`;
  const writer = cluster.writerById(m.gatewayId);
  return writer?.capabilities.includes('write') === true ? null : 'its writer may not write (P3)';
}
