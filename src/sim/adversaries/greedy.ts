/**
 * An adversary that adapts: it sees every request before the node does, knows which correct nodes hold which
 * version, and holds a request back or lets it pass, whichever brings a violation of I3 or I4 nearer. The bad
 * nodes help it: they promise everything and keep nothing.
 *
 * The score. A version is owed once it was shown to a reader, or is on so many nodes that its writer may have
 * been told; from then on every read must see it or a higher one. A read that misses it needs q replies from
 * nodes that do not hold it, and n - h of them do not, h being the correct nodes that hold it: so h - f of the
 * holders' replies must come too late. That number is the distance to a violation; the greedy choice never
 * raises it while a choice is left, and adds rounds where it cannot lower it. A version that nobody is owed
 * yet is no danger: it is shown to one reader first, while as few nodes as possible hold it.
 */
import { hex } from '../../base/bytes.ts';
import { decodeCertificate } from '../../protocol/certificate.ts';
import { decodeAnswer } from '../../protocol/messages.ts';
import type { Request } from '../../protocol/messages.ts';
import type { Frame } from '../../base/ports.ts';
import { compareStamps } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';

/** Between one correct node and the next that hears of a certificate: long for a client, short for a deadline. */
const COMMIT_STEP_MS = 300;
/** How long a reply is held back that would show what is owed, or that would not show what nobody is owed yet. */
const HIDE_MS = 60;
const SHOW_MS = 5;
/** Holders from which on a writer may have been told, with the lies of others. */
const OWED_FROM = 2;
const CERTIFICATE_TAIL_BYTES = 32;

interface Version {
  readonly keyId: string;
  readonly stamp: Stamp;
  /** Correct nodes that have acknowledged it. */
  readonly holders: Set<number>;
  /** Correct nodes to which its certificate was let through, or will be. */
  readonly released: Set<number>;
  isShown: boolean;
}

export class GreedyAdversary {
  readonly #bad: ReadonlySet<number>;
  readonly #byCertificate = new Map<string, Version | null>();
  /** The highest version of each key that some correct node holds. */
  readonly #highest = new Map<string, Version>();
  readonly #byName = new Map<string, Version>();

  constructor(bad: ReadonlySet<number>) {
    this.#bad = bad;
  }

  /** How long this request is kept from its node. */
  holdMs(slot: number, request: Request): number {
    if (this.#bad.has(slot)) return 0;
    switch (request.t) {
      case 'COMMIT':
        return this.#release(slot, request.cert);
      case 'QUERY':
        return this.#reply(slot, this.#highest.get(hex(request.keyId)));
      case 'CHECKPOINT':
        return Math.max(0, ...[...this.#highest.values()].map((version) => this.#reply(slot, version)));
      default:
        return 0;
    }
  }

  /** Learns from what a node has answered. */
  answered(slot: number, request: Request, answer: Frame): void {
    if (this.#bad.has(slot)) return;
    if (request.t === 'COMMIT') {
      const version = this.#versionOf(request.cert);
      if (version === null || decodeAnswer('COMMIT', answer.body).kind !== 'answer') return;
      version.holders.add(slot);
      const highest = this.#highest.get(version.keyId);
      if (highest === undefined || compareStamps(version.stamp, highest.stamp) > 0) this.#highest.set(version.keyId, version);
    }
    if (request.t === 'QUERY') {
      const version = this.#highest.get(hex(request.keyId));
      if (version?.holders.has(slot) === true) version.isShown = true;
    }
    if (request.t === 'CHANGES') for (const version of this.#highest.values()) if (version.holders.has(slot)) version.isShown = true;
  }

  /** One correct node after the other: each that holds the version is one more whose reply must be hidden. */
  #release(slot: number, cert: Uint8Array): number {
    const version = this.#versionOf(cert);
    if (version === null || version.released.has(slot)) return 0;
    version.released.add(slot);
    return (version.released.size - 1) * COMMIT_STEP_MS;
  }

  #reply(slot: number, version: Version | undefined): number {
    if (version === undefined) return 0;
    const isOwed = version.isShown || version.holders.size >= OWED_FROM;
    const holds = version.holders.has(slot);
    if (isOwed) return holds ? HIDE_MS : 0;
    return holds ? 0 : SHOW_MS;
  }

  /** Null for what is no certificate. */
  #versionOf(cert: Uint8Array): Version | null {
    const name = hex(cert.subarray(-CERTIFICATE_TAIL_BYTES));
    const known = this.#byCertificate.get(name);
    if (known !== undefined) return known;
    const decoded = decodeCertificate(cert);
    const version = decoded.ok ? this.#version(decoded.value.signed.manifest, hex(decoded.value.signed.hash)) : null;
    this.#byCertificate.set(name, version);
    return version;
  }

  /** Several certificates may stand for one version. */
  #version({ keyId, stamp }: { readonly keyId: Uint8Array; readonly stamp: Stamp }, hash: string): Version {
    const version = this.#byName.get(hash) ?? { keyId: hex(keyId), stamp, holders: new Set(), released: new Set(), isShown: false };
    this.#byName.set(hash, version);
    return version;
  }
}
