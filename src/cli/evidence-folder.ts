/**
 * Proofs of misbehaviour that this gateway came by (protocol 10), kept in its folder as one file each: the
 * canonical encoding of who is accused of what, with the signed pieces that convince anyone. Bounded, because
 * a liar must not fill the disk; the first proofs against a node are the ones that matter.
 */
import { hex } from '../base/bytes.ts';
import { describeError } from '../base/errors.ts';
import type { Disk, Telemetry } from '../base/ports.ts';
import type { Evidence } from '../client/suspicions.ts';
import { sha256 } from '../crypto/primitives.ts';
import { encode } from '../protocol/encoding.ts';

export const EVIDENCE_FOLDER = 'evidence';
const FILES_MAX = 256;

/** Returns what takes a proof in; writing goes on behind, one file after the other. */
export async function keepEvidence(disk: Disk, telemetry: Telemetry): Promise<(evidence: Evidence) => void> {
  await disk.makeFolder(EVIDENCE_FOLDER);
  const known = new Set(await disk.list(EVIDENCE_FOLDER));
  let writing = Promise.resolve();
  return ({ type, slot, detail, pieces }) => {
    telemetry.count('evidence', { type, slot: String(slot) });
    const bytes = encode({ v: 1, type, slot, detail, pieces });
    const name = `${type}-${slot ?? 'writer'}-${hex(sha256(bytes).subarray(0, 8))}.cbor`;
    if (known.has(name) || known.size >= FILES_MAX) return;
    known.add(name);
    writing = writing.then(async () => {
      try {
        await disk.writeFile(`${EVIDENCE_FOLDER}/${name}`, bytes);
        telemetry.event('warn', 'evidence', { type, slot, detail, file: `${EVIDENCE_FOLDER}/${name}` });
      } catch (error) {
        telemetry.event('error', 'evidence not written', { error: describeError(error) });
      }
    });
  };
}
