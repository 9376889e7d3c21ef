/**
 * Proofs of misbehaviour that a member came by (protocol 10), kept in its folder, one file each, as they
 * are handed on: `holdfast evidence verify FILE` needs nothing else but the cluster's root document. Bounded,
 * because a liar must not fill the disk; the first proofs against a party are the ones that matter.
 */
import { describeError } from '../base/errors.ts';
import type { Disk, Telemetry } from '../base/ports.ts';
import { encodeEvidence, evidenceName } from '../evidence/evidence.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { nameOf } from '../evidence/finding.ts';
import type { Finding, Proof } from '../evidence/finding.ts';

export const EVIDENCE_FOLDER = 'evidence';
const FILES_MAX = 256;
/** Of one kind against one party: more of the same convinces nobody more. */
const FILES_ALIKE_MAX = 8;

const kindOf = ({ type }: Evidence, { accused }: Finding): string => `${type}-${nameOf(accused)}-`;

/** Keeps one proof, durably, and returns its path in the folder. */
export async function keepProof(disk: Disk, { evidence, finding }: Proof): Promise<string> {
  await disk.makeFolder(EVIDENCE_FOLDER);
  const bytes = encodeEvidence(evidence);
  const file = `${EVIDENCE_FOLDER}/${kindOf(evidence, finding)}${evidenceName(bytes)}.cbor`;
  await disk.writeFile(file, bytes);
  return file;
}

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
    const kind = kindOf(evidence, finding);
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
