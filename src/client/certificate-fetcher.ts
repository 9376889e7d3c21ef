/**
 * Certificates for what logs name, each fetched once: the logs of n nodes name the same versions, at nearly
 * the same time. Requests that come while others are under way wait and go together.
 */
import { mapKey } from '../base/bytes.ts';
import type { Certified } from './certificates.ts';
import type { WantedCertificate } from './certs.ts';
import type { Stamp } from '../protocol/stamp.ts';

interface Wanted {
  readonly keyId: Uint8Array;
  readonly stamp: Stamp;
  readonly slots: readonly number[];
  readonly exact: boolean;
  readonly resolve: (certified: Certified | null) => void;
  readonly reject: (error: unknown) => void;
}

const BATCH_MAX = 1024;

/** Who gives certificates: one for each that is wanted, in order, null where no node has one. */
export interface CertificateSource {
  certificates(wanted: readonly WantedCertificate[]): Promise<readonly (Certified | null)[]>;
}

export class CertificateFetcher {
  readonly #client: CertificateSource;
  readonly #underWay = new Map<string, Promise<Certified | null>>();
  #queue: Wanted[] = [];
  #isRunning = false;

  constructor(client: CertificateSource) {
    this.#client = client;
  }

  /**
   * A verified certificate of the key at `stamp` or above; null when no node gives one. `slot`: whose log
   * names it. `exact`: of that stamp alone.
   */
  fetch(keyId: Uint8Array, stamp: Stamp, slot: number, exact: boolean = false): Promise<Certified | null> {
    const name = `${exact ? '=' : '>'}${mapKey(keyId)}${stamp.gen}.${stamp.counter}.${mapKey(stamp.writerId)}`;
    const known = this.#underWay.get(name);
    if (known !== undefined) return known;
    const fetching = new Promise<Certified | null>((resolve, reject) => {
      this.#queue.push({ keyId, stamp, slots: [slot], exact, resolve, reject });
    }).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, fetching);
    if (!this.#isRunning) void this.#run();
    return fetching;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // One turn's grace: the entries of one answer come one after the other.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH_MAX);
      try {
        const found = await this.#client.certificates(batch);
        for (const [i, wanted] of batch.entries()) wanted.resolve(found[i] ?? null);
      } catch (error) {
        for (const wanted of batch) wanted.reject(error);
      }
    }
    this.#isRunning = false;
  }
}
