/**
 * Collects statements that become ready together and signs them with one signature (protocol 4.1b). Those
 * whose sync ended at the same moment are asked for within one turn of the event loop: the first opens a
 * batch, which closes after a few microtasks, when the others have had theirs.
 */
import type { SigningKey } from '../crypto/primitives.ts';
import { signBatch, statementLeaf, BATCH_SIZE_MAX } from './statement.ts';
import type { BatchSignature, Purpose, StatementProof } from './statement.ts';

/** Promise hops between a group commit's end and the statements it releases; later ones open a batch of their own. */
const GATHER_TURNS = 6;

interface Waiting {
  readonly leaf: Uint8Array;
  readonly resolve: (proof: StatementProof) => void;
  readonly reject: (error: unknown) => void;
}

export class BatchSigner {
  readonly #key: SigningKey;
  readonly #clusterId: Uint8Array;
  readonly #onSigned: (batch: BatchSignature) => void;
  #waiting: Waiting[] = [];

  /** `onSigned` is told of each signature made, for a verifier that need not check its own process's. */
  constructor(key: SigningKey, clusterId: Uint8Array, onSigned: (batch: BatchSignature) => void = () => undefined) {
    this.#key = key;
    this.#clusterId = clusterId;
    this.#onSigned = onSigned;
  }

  /** Signs one statement, together with those asked for at the same time. The caller has made durable what it promises. */
  sign(purpose: Purpose, body: Uint8Array): Promise<StatementProof> {
    const leaf = statementLeaf(purpose, this.#clusterId, body);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ leaf, resolve, reject });
      if (this.#waiting.length === 1) void this.#gather();
      if (this.#waiting.length === BATCH_SIZE_MAX) this.#flush();
    });
  }

  async #gather(): Promise<void> {
    for (let turn = 0; turn < GATHER_TURNS; turn += 1) await Promise.resolve();
    this.#flush();
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    try {
      const proofs = signBatch(this.#key, this.#clusterId, batch.map((w) => w.leaf));
      const [first] = proofs;
      if (first !== undefined) this.#onSigned(first.batch);
      batch.forEach((w, i) => {
        const proof = proofs[i];
        if (proof !== undefined) w.resolve(proof);
      });
    } catch (error) {
      for (const w of batch) w.reject(error);
    }
  }
}
