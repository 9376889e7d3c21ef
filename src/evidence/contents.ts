/** What a node says about contents that it has promised to keep, or is asked for: E6 and E7. */
import { equal, hex } from '../base/bytes.ts';
import { rowLeaf } from '../merkle/tiles.ts';
import { verifyInclusion } from '../merkle/tree.ts';
import { decodeAudit } from '../protocol/audit.ts';
import { promisesContent } from '../protocol/certificate.ts';
import type { Manifest } from '../protocol/manifest.ts';
import { decodeEvict } from '../protocol/log-entries.ts';
import { decodeLack } from '../protocol/messages.ts';
import { compareStamps, stampText } from '../protocol/stamp.ts';
import { stripeCount } from '../protocol/stripes.ts';
import type { EvidenceOf } from './evidence.ts';
import { nodeAt, notProven, proven } from './finding.ts';
import type { Verdict } from './finding.ts';
import type { NamedContent, Statements } from './statements.ts';

/** How much earlier than the judge a correct node may hold a retention for over. */
const CLOCKS_APART_MS = 24 * 3_600_000;

/**
 * E6: the node has promised the content and says that it lacks it, though it holds no version above. It lost
 * data: 13.10 tells this from a lie, and it costs the node a repair, not its place.
 */
export function judgeLack(statements: Statements, { content, lack }: EvidenceOf<'E6'>): Verdict {
  const named = statements.content(content);
  if (named === null) return notProven('no valid certificate names the content');
  const decoded = decodeLack(lack.body);
  if (!decoded.ok) return notProven(`the statement is malformed: ${decoded.reason}`);
  const { code, slot, stripe, manifestHash, contentId, max, epoch } = decoded.value;
  const config = statements.cluster.slotAt(slot);
  const accused = nodeAt(statements.cluster, slot);
  if (config === undefined || accused === null || epoch !== statements.cluster.epoch) return notProven('the statement is of no node of this configuration');
  if (!statements.verifier.verify(config.signingKey, 'not-held', lack.body, lack.proof)) return notProven('the signature of the statement does not verify');
  const { signed } = named.cert;
  if (!equal(manifestHash, signed.hash) || !equal(contentId, content.contentId)) return notProven('the statement is about another version');
  if (named.layout !== null && stripe >= stripeCount(named.layout)) return notProven('the content has no such stripe');
  if (!promisesContent(named.cert, slot)) return notProven('the certificate holds no promise of this node to keep the content');
  if (max !== null && compareStamps(max, signed.manifest.stamp) > 0) return notProven('the node holds a higher version, which may have replaced this one');
  return proven(
    accused,
    [`receipt for ${versionText(named)}`, `${code} of stripe ${stripe} of content ${hex(contentId)}, with ${max === null ? 'no version' : `stamp ${stampText(max)}`} as the highest of the key`],
    code === 'HOLE'
      ? 'A receipt binds until a higher version is held: this node has lost what it had promised to keep, and says so.'
      : 'A receipt binds until a higher version is held: this node has lost what it had promised to keep, or denies it.',
    code === 'HOLE' ? 'loss' : 'loss-or-lie',
  );
}

/** E6-row: the row that the node signed as the content's is not in its matrix. */
export function judgeRow(statements: Statements, { content, shown }: EvidenceOf<'E6-row'>): Verdict {
  const named = statements.content(content);
  if (named === null) return notProven('no valid certificate names the content');
  const { cert, layout } = named;
  if (layout === null) return notProven('the content has no cells');
  for (const receipt of cert.receipts) {
    const by = statements.cluster.slotAt(receipt.slot);
    const signed = by === undefined ? null : statements.answer(by, 'FETCH', shown);
    if (by === undefined || signed === null) continue;
    if (signed.answer.kind !== 'answer') return notProven('the node gave no row');
    const { request, answer } = signed;
    if (!equal(request.contentId, content.contentId) || !equal(request.manifestHash, cert.signed.hash)) return notProven('the answer is about another version');
    if (!promisesContent(cert, by.slot)) return notProven('the certificate holds no promise of this node to keep the content');
    const stripes = stripeCount(layout);
    if (request.stripe >= stripes) return notProven('the content has no such stripe');
    const { row, path } = answer.answer;
    if (row.length === 32 * layout.n && verifyInclusion(content.contentId, rowLeaf(row), request.stripe, stripes, path)) {
      return notProven('the row is the one of the content');
    }
    const accused = nodeAt(statements.cluster, by.slot);
    if (accused === null) return notProven('the node is not in the configuration');
    return proven(
      accused,
      [`receipt for ${versionText(named)}`, `a row of stripe ${request.stripe} of content ${hex(content.contentId)}`],
      'The row is not in the matrix that the writer committed to. A node checks each row against it, before it gives its receipt and before it answers: this one made the answer up.',
    );
  }
  return notProven('none of the nodes that gave a receipt signed this answer');
}

/** E6-audit: a correct node checks a cell before it signs, so it signs no other than the one of the matrix. */
export function judgeAudit(statements: Statements, { content, audit, row, path }: EvidenceOf<'E6-audit'>): Verdict {
  const named = statements.content(content);
  if (named === null) return notProven('no valid certificate names the content');
  const decoded = decodeAudit(audit.body);
  if (!decoded.ok) return notProven(`the statement is malformed: ${decoded.reason}`);
  const { slot, epoch, stripe, manifestHash, contentId, cellHash } = decoded.value;
  const config = statements.cluster.slotAt(slot);
  const accused = nodeAt(statements.cluster, slot);
  if (config === undefined || accused === null || epoch !== statements.cluster.epoch) return notProven('the statement is of no node of this configuration');
  if (!statements.verifier.verify(config.signingKey, 'audit', audit.body, audit.proof)) return notProven('the signature of the statement does not verify');
  const { hash } = named.cert.signed;
  if (!equal(manifestHash, hash) || !equal(contentId, content.contentId)) return notProven('the statement is about another version');
  const truth = trueHash(named, contentId, stripe, slot, row, path);
  if (truth === null) return notProven('the row is not the one of the content');
  if (equal(truth, cellHash)) return notProven('the node signed the right cell');
  return proven(
    accused,
    [`for a challenge, cell ${hex(cellHash)} as its own of stripe ${stripe} of content ${hex(contentId)}`],
    `The content, certified with ${versionText(named)}, has another cell there: the node answered a challenge with what it made up, or did not check what it read.`,
  );
}

/** What the slot's cell of the stripe hashes to; null when the row does not show it. */
function trueHash({ layout }: NamedContent, contentId: Uint8Array, stripe: number, slot: number, row: Uint8Array, path: readonly Uint8Array[]): Uint8Array | null {
  if (layout === null) return stripe === 0 ? contentId : null;
  const stripes = stripeCount(layout);
  const isShown = stripe < stripes && row.length === 32 * layout.n && verifyInclusion(contentId, rowLeaf(row), stripe, stripes, path);
  return isShown ? row.subarray(32 * slot, 32 * slot + 32) : null;
}

function versionText({ cert: { signed } }: NamedContent): string {
  return `manifest ${hex(signed.hash)} of key ${hex(signed.manifest.keyId)} at stamp ${stampText(signed.manifest.stamp)}`;
}

/**
 * Does COMPLIANCE still bid every correct node keep the version, whatever the clocks of nodes and judge are up to?
 * Clocks that are wrong by more than this, in one direction and on more than f nodes, are outside the model.
 */
export function isDueStill({ slot, retainUntil }: Manifest, nowMs: number): boolean {
  return slot?.lockMode === 'COMPLIANCE' && nowMs + CLOCKS_APART_MS < retainUntil;
}

/** E7: an eviction in the node's own log, while COMPLIANCE holds. */
export function judgeEviction(statements: Statements, { certificate, note, entry }: EvidenceOf<'E7'>, nowMs: number): Verdict {
  const cert = statements.certificate(certificate);
  if (cert === null) return notProven('the certificate is not valid');
  const { manifest, hash } = cert.signed;
  if (manifest.slot?.lockMode !== 'COMPLIANCE') return notProven('the manifest bids nobody keep it');
  const signed = statements.checkpoint(note);
  if (signed === null) return notProven('the checkpoint is not one of a node of this cluster');
  const logged = statements.entry(entry, signed.checkpoint);
  const evicted = logged?.type === 'EVICT' ? decodeEvict(logged.body) : null;
  if (evicted?.ok !== true) return notProven('the checkpoint has no eviction there');
  if (!equal(evicted.value.manifestHash, hash)) return notProven('another version was evicted');
  if (!isDueStill(manifest, nowMs)) return notProven('the retention has ended, or will within a day: nothing shows any more that the eviction came before');
  const accused = nodeAt(statements.cluster, signed.by.slot);
  if (accused === null) return notProven('the node is not in the configuration');
  return proven(
    accused,
    [`a log with the eviction of manifest ${hex(hash)} at index ${entry.index}`],
    `The manifest is certified with COMPLIANCE until ${new Date(manifest.retainUntil).toISOString()}: no node may let it go before.`,
  );
}
