/** What proves a writer's key guilty: E1, E8 and E11. */
import { equal, hex } from '../base/bytes.ts';
import { sha256 } from '../crypto/primitives.ts';
import { referenceCodec } from '../erasure/reference.ts';
import { rowLeaf } from '../merkle/tiles.ts';
import { verifyInclusion } from '../merkle/tree.ts';
import { verifyWriter } from '../protocol/certificate.ts';
import { openSignedManifest } from '../protocol/manifest.ts';
import { decodeProposal } from '../protocol/slot.ts';
import { sameStamp, stampText } from '../protocol/stamp.ts';
import { cellBytesOf, stripeCount } from '../protocol/stripes.ts';
import type { EvidenceOf } from './evidence.ts';
import { notProven, proven } from './finding.ts';
import type { Verdict } from './finding.ts';
import type { Statements } from './statements.ts';

const HASH_BYTES = 32;

/** E1: two manifests of one key and stamp. A correct writer uses each stamp once (I1 rests on it). */
export function judgeTwoManifests({ cluster, verifier }: Statements, { manifests }: EvidenceOf<'E1'>): Verdict {
  const [first, second] = manifests.map((wire) => openSignedManifest(wire));
  if (first?.ok !== true || second?.ok !== true) return notProven('a manifest is malformed');
  const [a, b] = [first.value, second.value];
  if (equal(a.hash, b.hash)) return notProven('it is one manifest twice');
  if (!equal(a.manifest.keyId, b.manifest.keyId)) return notProven('the manifests are of two keys');
  if (!sameStamp(a.manifest.stamp, b.manifest.stamp)) return notProven('the manifests have two stamps');
  // The stamp names the session, and the session its gateway: both manifests have one signer.
  if (!equal(a.manifest.gatewayId, b.manifest.gatewayId)) return notProven('the manifests name two writers');
  for (const signed of [a, b]) {
    if (!verifyWriter(cluster, verifier, signed)) return notProven('the signature of a manifest does not verify');
  }
  return proven(
    { kind: 'writer', gatewayId: a.manifest.gatewayId },
    [a, b].map(
      ({ hash, manifest }) => `manifest ${hex(hash)} of key ${hex(manifest.keyId)} at stamp ${stampText(manifest.stamp)}`,
    ),
    'A writer signs one manifest at most for a stamp of a key: with two, readers could be shown different versions as one.',
  );
}

/** E11: two manifests proposed in one ballot. A correct gateway proposes once in a ballot (6.4). */
export function judgeTwoProposals({ cluster, verifier }: Statements, { proposals }: EvidenceOf<'E11'>): Verdict {
  const [first, second] = proposals.map(({ body }) => decodeProposal(body));
  if (first?.ok !== true || second?.ok !== true) return notProven('a proposal is malformed');
  const [a, b] = [first.value, second.value];
  if (equal(a.manifestHash, b.manifestHash)) return notProven('both proposals are of one manifest');
  const isOneBallot =
    a.round === b.round && equal(a.gatewayId, b.gatewayId) && equal(a.sessionNonce, b.sessionNonce);
  if (!isOneBallot) return notProven('the proposals are of two ballots');
  if (!equal(a.keyId, b.keyId) || !equal(a.prev, b.prev)) return notProven('the proposals are for two slots');
  const writer = cluster.writerById(a.gatewayId);
  if (writer === undefined) return notProven('the proposer is no writer of this cluster');
  for (const { body, proof } of proposals) {
    if (!verifier.verify(writer.signingKey, 'proposal', body, proof)) {
      return notProven('the signature of a proposal does not verify');
    }
  }
  const slot = `the slot after ${hex(a.prev)} of key ${hex(a.keyId)}`;
  return proven(
    { kind: 'writer', gatewayId: a.gatewayId },
    [a, b].map(({ manifestHash, round }) => `proposal of manifest ${hex(manifestHash)} in round ${round} for ${slot}`),
    'A gateway proposes one manifest at most in a ballot: with two, a slot could be decided twice.',
  );
}

/** E8: cells that the row commits to do not encode to the row. Whoever signed the content vouched for its encoding (I6). */
export function judgeEncoding(
  statements: Statements,
  { content, stripe, row, path, cells }: EvidenceOf<'E8'>,
): Verdict {
  const named = statements.content(content);
  if (named === null) return notProven('no valid certificate names the content');
  const { cert, layout } = named;
  if (layout === null) return notProven('the content has no cells');
  const stripes = stripeCount(layout);
  if (stripe >= stripes) return notProven('the content has no such stripe');
  const { n, k } = layout;
  if (row.length !== n * HASH_BYTES || !verifyInclusion(content.contentId, rowLeaf(row), stripe, stripes, path)) {
    return notProven('the row is not in the matrix of the content');
  }
  const slots = cells.map(({ slot }) => slot);
  if (cells.length !== k || new Set(slots).size !== k) return notProven('k cells of k slots decode');
  const cellBytes = cellBytesOf(layout, stripe);
  for (const { slot, cell } of cells) {
    if (slot >= n || cell.length !== cellBytes || !equal(sha256(cell), hashAt(row, slot))) {
      return notProven(`the cell of slot ${slot} is not the one of the row`);
    }
  }
  const codec = referenceCodec(n * cellBytes);
  for (const { slot, cell } of cells) codec.memory.set(cell, slot * cellBytes);
  const missing = Array.from({ length: n }, (_, slot) => slot).filter((slot) => !slots.includes(slot));
  codec.reconstruct({ k, n }, { base: 0, cellBytes }, slots, missing);
  const wrong = missing.filter((slot) => {
    const cell = codec.memory.subarray(slot * cellBytes, (slot + 1) * cellBytes);
    return !equal(sha256(cell), hashAt(row, slot));
  });
  if (wrong.length === 0) return notProven('the cells encode to the row: the content is in order');
  const { manifest, hash } = cert.signed;
  return proven(
    { kind: 'writer', gatewayId: manifest.gatewayId },
    [`manifest ${hex(hash)} over content ${hex(content.contentId)}, whose stripe ${stripe} has the row shown`],
    `Any k cells of a stripe must decode to the same bytes. From the cells of slots ${slots.join(', ')} other cells follow for slots ${wrong.join(', ')} than the writer committed to: different readers would read different bytes.`,
  );
}

function hashAt(row: Uint8Array, slot: number): Uint8Array {
  return row.subarray(slot * HASH_BYTES, (slot + 1) * HASH_BYTES);
}
