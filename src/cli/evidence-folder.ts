/**
 * Proofs of misbehaviour that this gateway came by (protocol 10), kept in its folder, one file each, as they
 * are handed on: `holdfast evidence verify FILE` needs nothing else but the cluster's root document. Bounded,
 * because a liar must not fill the disk; the first proofs against a party are the ones that matter.
 */
import { describeError } from '../base/errors.ts';
import type { Disk, Telemetry } from '../base/ports.ts';
import { encodeEvidence, evidenceName } from '../evidence/evidence.ts';
import { nameOf } from '../evidence/finding.ts';
import type { Proof } from '../evidence/finding.ts';

export const EVIDENCE_FOLDER = 'evidence';
const FILES_MAX = 256;
/** Of one kind against one party: more of the same convinces nobody more. */
const FILES_ALIKE_MAX = 8;

/** Returns what takes a proof in; writing goes on behind, one file after the other. */
export async function keepEvidence(disk: Disk, telemetry: Telemetry): Promise<(proof: Proof) => void> {
  await disk.makeFolder(EVIDENCE_FOLDER);
  const known = new Set(await disk.list(EVIDENCE_FOLDER));
  let writing = Promise.resolve();
  return ({ evidence, finding }) => {
    const { type } = evidence;
    const accused = nameOf(finding.accused);
    telemetry.count('evidence', { type, accused });
    const bytes = encodeEvidence(evidence);
    const kind = `${type}-${accused}-`;
    const name = `${kind}${evidenceName(bytes)}.cbor`;
    const alike = [...known].filter((other) => other.startsWith(kind)).length;
    if (known.has(name) || known.size >= FILES_MAX || alike >= FILES_ALIKE_MAX) return;
    known.add(name);
    writing = writing.then(async () => {
      try {
        await disk.writeFile(`${EVIDENCE_FOLDER}/${name}`, bytes);
        const file = `${EVIDENCE_FOLDER}/${name}`;
        telemetry.event('warn', 'evidence', { type, accused, detail: finding.contradiction, file });
      } catch (error) {
        telemetry.event('error', 'evidence not written', { error: describeError(error) });
      }
    });
  };
}
