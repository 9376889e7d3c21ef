/**
 * A bad node that turns to the others as a client would: it asks them for certificates, cells and bodies, and
 * to sign and take what it found. Storage nodes read no content from each other, so that none of them gathers the
 * cells that decode an object (trap H16).
 */
import { EMPTY, hex } from '../../base/bytes.ts';
import type { Channel } from '../../base/ports.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { signedManifestToWire } from '../../protocol/manifest.ts';
import { decodeAnswer, encodeRequest } from '../../protocol/messages.ts';
import type { Request } from '../../protocol/messages.ts';
import type { WriterStage } from './stage.ts';

export interface NosyNodeOptions {
  readonly stage: WriterStage;
  /** Of the node whose identity it has. */
  readonly slot: number;
  readonly correct: readonly number[];
  /** Of any version that its own node holds. */
  readonly certificate: () => Promise<Uint8Array | null>;
}

const PATIENCE_MS = 2_000;

export class NosyNode {
  readonly #options: NosyNodeOptions;
  readonly #channels = new Map<number, Channel>();
  readonly violations: string[] = [];

  constructor(options: NosyNodeOptions) {
    this.#options = options;
  }

  /** Asks every correct node everything about the version that its own node holds. */
  async ask(): Promise<void> {
    const { slot: own, correct, certificate } = this.#options;
    const cert = await certificate();
    const decoded = cert === null ? undefined : decodeCertificate(cert);
    if (cert === null || decoded?.ok !== true) return;
    const { signed } = decoded.value;
    const { keyId, stamp, contentId } = signed.manifest;
    const version = { keyId, stamp, contentId, manifestHash: signed.hash };
    const requests: readonly Request[] = [
      { t: 'QUERY', keyId, cell0: true, seen: null },
      { t: 'FETCH', ...version, stripe: 0, leaseMs: 0 },
      { t: 'BODY', ...version, leaseMs: 0 },
      { t: 'PREPARE', manifest: signedManifestToWire(signed), upload: null, row: null, record: null, prevCert: null },
      { t: 'COMMIT', cert, inline: false },
      { t: 'RESOLVE', keyId, stamp, promise: true },
    ];
    for (const slot of correct) {
      for (const request of requests) {
        if (await this.#gets(slot, request)) this.violations.push(`node ${slot} answers ${request.t} to node ${own}`);
      }
    }
  }

  /** Is it answered what only a client may ask? A node may ask for the certificate of a key, and not for its cell. */
  async #gets(slot: number, request: Request): Promise<boolean> {
    const answered = await this.#channel(slot)
      .request({ body: encodeRequest(request), payload: EMPTY }, { timeoutMs: PATIENCE_MS })
      .catch(() => null);
    if (answered === null || decodeAnswer(request.t, answered.body).kind !== 'answer') return false;
    return request.t !== 'QUERY' || answered.payload.length > 0;
  }

  #channel(slot: number): Channel {
    const { stage, slot: own } = this.#options;
    const known = this.#channels.get(slot);
    if (known !== undefined) return known;
    const [self, other] = [stage.cluster.slotAt(own), stage.cluster.slotAt(slot)];
    const address = other?.addresses[0];
    if (self === undefined || other === undefined || address === undefined) throw new Error('the slots exist');
    const channel = stage.network.transport(`node-${own}`, hex(self.tlsKey)).open(address, hex(other.tlsKey));
    this.#channels.set(slot, channel);
    return channel;
  }
}
