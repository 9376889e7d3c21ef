/**
 * The counting claims of the protocol (1, 6.7, 9) by brute force: every n up to the most that a cluster may have,
 * every f that n bears, and for the abort licence every way in which nodes may answer. Not a model: there are no
 * steps, only numbers.
 */
import { checkGeometry, holderCount, mayBeCertified, oneCorrect, quorumSize, SLOTS_MAX } from '../../src/protocol/quorum.ts';
import type { Quorums } from '../../src/protocol/quorum.ts';

export interface Count {
  readonly cases: number;
  /** The claims that do not hold, with their numbers. */
  readonly failures: readonly string[];
}

interface Claims {
  claim(holds: boolean, what: string): void;
  count(): Count;
}

function makeClaims(): Claims {
  const failures: string[] = [];
  let cases = 0;
  return {
    claim: (holds, what) => {
      cases++;
      if (!holds) failures.push(what);
    },
    count: () => ({ cases, failures }),
  };
}

/** Every n and f with n >= 3f+1. */
export function* allQuorums(): Iterable<Quorums> {
  for (let n = 4; n <= SLOTS_MAX; n++) {
    for (let f = 1; 3 * f + 1 <= n; f++) yield { n, f };
  }
}

/** What the numbers of section 1 are chosen for, and the barrier of section 9. */
export function countQuorums(): Count {
  const { claim, count } = makeClaims();
  for (const quorums of allQuorums()) {
    const { n, f } = quorums;
    const q = quorumSize(quorums);
    const c = holderCount(quorums);
    const one = oneCorrect(quorums);
    const at = `n=${n} f=${f}`;
    claim(2 * q - n >= one, `two certificates meet in a correct node: ${at}`);
    claim(q - f >= n - 2 * f, `a certificate has n-2f correct signers: ${at}`);
    claim(c + q - n >= one, `a completed operation is visible to every read quorum: ${at}`);
    claim(c - 1 + q - n < one, `c - 1 holders would not do: ${at}`);
    claim(c <= q, `c acknowledgements can be had while f nodes are silent: ${at}`);
    claim(n - one < q, `f+1 refusing correct nodes stop a certificate: ${at}`);
    // At the barrier q - f correct nodes at least serve the old epoch no more.
    claim(n - (q - f) < q && n - (q - f) < c, `after the barrier no quorum and no c holders of the old epoch: ${at}`);
  }
  return count();
}

/** No answers that licence an abort leave a certificate possible (6.7). */
export function countAbortLicences(): Count {
  const { claim, count } = makeClaims();
  for (const quorums of allQuorums()) {
    const { n, f } = quorums;
    // Of the f Byzantine nodes some say PREPARED, some NEVER, the others do not answer.
    for (let byzantinePrepared = 0; byzantinePrepared <= f; byzantinePrepared++) {
      for (let byzantineNever = 0; byzantinePrepared + byzantineNever <= f; byzantineNever++) {
        const silent = f - byzantinePrepared - byzantineNever;
        for (let prepared = 0; prepared <= n - f; prepared++) {
          for (let unheard = 0; prepared + unheard <= n - f; unheard++) {
            const answered = n - unheard - silent;
            const hasLicence = !mayBeCertified(quorums, answered, prepared + byzantinePrepared);
            // Correct nodes that have signed or still may, and every Byzantine one.
            const isPossible = prepared + unheard + f >= quorumSize(quorums);
            claim(!(hasLicence && isPossible), `abort licence: ${JSON.stringify({ n, f, byzantinePrepared, byzantineNever, prepared, unheard })}`);
          }
        }
      }
    }
  }
  return count();
}

/** What checkGeometry lets pass is decodable from correct nodes and from no f nodes alone, and it refuses the rest. */
export function countGeometries(): Count {
  const { claim, count } = makeClaims();
  for (let n = 1; n <= SLOTS_MAX; n++) {
    for (let f = 1; f <= n; f++) {
      for (let k = 1; k <= n; k++) {
        const isSound = n >= 3 * f + 1 && k <= quorumSize({ n, f }) - f && k >= oneCorrect({ n, f });
        claim(checkGeometry(n, f, k).ok === isSound, `checkGeometry: n=${n} f=${f} k=${k}`);
      }
    }
  }
  return count();
}
