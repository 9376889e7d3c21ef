/**
 * Anchors: the newest checkpoint of a gateway's audit log, kept by nodes. Each must extend the one before, with
 * proof; so what a gateway has anchored it can neither change nor cut off unseen, and a copy of its log is held
 * against the nodes and not against its own word.
 */
import { equal, hex } from '../base/bytes.ts';
import { verifySignature } from '../crypto/primitives.ts';
import { verifyConsistency } from '../merkle/tree.ts';
import type { Cluster, WriterConfig } from '../protocol/configuration.ts';
import { openCheckpoint, parseCheckpoint } from './checkpoint.ts';
import type { SignedCheckpoint } from './checkpoint.ts';
import { ed25519Verifier, parseNote } from './signed-note.ts';

/** Origin of a gateway's audit log, which is also the name of the key that signs its checkpoints. */
export function auditOrigin(clusterId: Uint8Array, gatewayId: Uint8Array): string {
  return `holdfast/1/audit/${hex(clusterId)}/${hex(gatewayId)}`;
}

export type OpenedAnchor =
  | { readonly ok: true; readonly writer: WriterConfig; readonly signed: SignedCheckpoint }
  | { readonly ok: false; readonly reason: string };

/** Verifies a checkpoint of the audit log of some gateway of the cluster. Any text may be given. */
export function openAnchor(cluster: Cluster, note: string): OpenedAnchor {
  const parsed = parseNote(note);
  if (!parsed.ok) return { ok: false, reason: parsed.reason };
  const text = parseCheckpoint(parsed.note.text);
  if (!text.ok) return { ok: false, reason: text.reason };
  const { origin } = text.checkpoint;
  const writer = cluster.config.writers.find(({ gatewayId }) => auditOrigin(cluster.id, gatewayId) === origin);
  if (writer === undefined) return { ok: false, reason: 'the checkpoint is of no gateway of this cluster' };
  const opened = openCheckpoint(note, ed25519Verifier(origin, writer.signingKey, verifySignature));
  return opened.ok ? { ok: true, writer, signed: opened.signed } : { ok: false, reason: opened.reason };
}

/** Why a checkpoint may not take the place of another of its log, or null. */
export function anchorFault({ checkpoint: held }: SignedCheckpoint, { checkpoint: next }: SignedCheckpoint, consistency: readonly Uint8Array[]): string | null {
  if (next.size < held.size) return `the log has shrunk from ${held.size} entries to ${next.size}`;
  if (next.size === held.size && !equal(next.root, held.root)) return 'the log has two roots of one size';
  const extends_ = verifyConsistency(held.size, held.root, next.size, next.root, consistency);
  return extends_ ? null : 'it is not proven that the log extends what was anchored';
}
