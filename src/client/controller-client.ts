/**
 * The protocol as a controller speaks it (protocol 6.8): it follows whole logs, asks for certificates, audits
 * cells and gives lost ones back. It writes no versions and holds no key of the owner; the configuration lets
 * it do no more.
 */
import { EMPTY } from '../base/bytes.ts';
import type { SignedBody } from '../protocol/slot.ts';
import { repairAuthorityFault } from '../protocol/repair-authority.ts';
import type { AnswerOf } from '../protocol/messages.ts';
import { auditCell } from './audit.ts';
import type { Audited, AuditTarget } from './audit.ts';
import type { Accuse } from '../evidence/accuse.ts';
import type { Certified } from './certificates.ts';
import type { CertificateSource } from './certificate-fetcher.ts';
import { fetchCertificates } from './certs.ts';
import type { WantedCertificate } from './certs.ts';
import type { ClientContext } from './context.ts';
import { fetchBody, fetchStripe } from './fetch.ts';
import type { ContentRef, Fetched, NamedContent } from './fetch.ts';
import { LogFollower } from './follow.ts';
import type { TakeLeaves } from './follow.ts';
import { makeContext } from './make-context.ts';
import type { ContextOptions } from './make-context.ts';
import type { SlotHealth } from './peers.ts';
import { giveCell, giveContent, rebuildBody, rebuildStripe } from './rebuild.ts';
import type { Given, GiveOptions, RebuiltStripe } from './rebuild.ts';
import type { Suspicion } from './suspicions.ts';

const READ = { leaseMs: 0, mayRestart: true };

export class ControllerClient implements CertificateSource {
  readonly #ctx: ClientContext;
  #follower: LogFollower | null = null;

  constructor(options: ContextOptions) {
    this.#ctx = makeContext(options, (slot) => this.#follower?.seen(slot) ?? null);
  }

  /** Begins to follow the logs; at most one follower a client. */
  follow(take: TakeLeaves, saved: ReadonlyMap<number, Uint8Array>): LogFollower {
    this.#follower = new LogFollower(this.#ctx, () => undefined, saved, take);
    return this.#follower;
  }

  certificates(wanted: readonly WantedCertificate[]): Promise<readonly (Certified | null)[]> {
    return fetchCertificates(this.#ctx, wanted);
  }

  /** The inline body or part table of a version. Throws NO_QUORUM, DAMAGED. */
  body(version: Certified): Promise<Fetched<Uint8Array>> {
    return fetchBody(this.#ctx, version, READ);
  }

  /** See audit.ts. */
  audit(slot: number, target: AuditTarget, timeoutMs: number): Promise<Audited> {
    return auditCell(this.#ctx, slot, target, timeoutMs);
  }

  /** See rebuild.ts. */
  rebuildStripe(version: Certified, content: ContentRef, stripe: number, lacking: ReadonlySet<number>): Promise<Fetched<RebuiltStripe>> {
    return rebuildStripe(this.#ctx, version, content, stripe, lacking);
  }

  rebuildBody(version: Certified, lacking: ReadonlySet<number>): Promise<Fetched<RebuiltStripe>> {
    return rebuildBody(this.#ctx, version, lacking);
  }

  giveCell(slot: number, rebuilt: RebuiltStripe, options: GiveOptions): Promise<Given> {
    return giveCell(this.#ctx, slot, rebuilt, options);
  }

  giveContent(slot: number, content: ContentRef, stripes: (stripe: number) => Promise<Fetched<RebuiltStripe>>, options: GiveOptions): Promise<Given> {
    return giveContent(this.#ctx, slot, content, stripes, options);
  }

  /** Why the authority does not let this controller repair now, or null. */
  authorityFault(authority: SignedBody, controllerId: Uint8Array): string | null {
    return repairAuthorityFault(this.#ctx.cluster, this.#ctx.verifier, authority, controllerId, this.#ctx.clock.nowMs());
  }

  /** A signed lack of what the slot had promised becomes evidence; the judge decides. */
  accuseOfLack(version: Certified, { contentId, table }: NamedContent, lack: SignedBody): void {
    this.#ctx.accuse({ type: 'E6', content: { certificate: version.bytes, contentId, table }, lack });
  }

  /** A signed wrong cell becomes evidence, with the true row from others beside it. Does nothing where that cannot be had now. */
  async accuseOfWrongCell(version: Certified, content: ContentRef | NamedContent, stripe: number, slot: number, audit: SignedBody): Promise<void> {
    const { contentId, table } = content;
    const named = { certificate: version.bytes, contentId, table };
    if (!('layout' in content)) {
      this.#ctx.accuse({ type: 'E6-audit', content: named, audit, row: EMPTY, path: [] });
      return;
    }
    const fetched = await fetchStripe(this.#ctx, version, content, stripe, { ...READ, avoid: new Set([slot]) });
    if (fetched.kind === 'superseded') return;
    const { row, path } = fetched.value;
    this.#ctx.accuse({ type: 'E6-audit', content: named, audit, row, path: [...path] });
  }

  get accuse(): Accuse {
    return this.#ctx.accuse;
  }

  /** How long the slot takes for something small; null when it does not answer. */
  async probe(slot: number, timeoutMs: number): Promise<{ readonly tookMs: number; readonly status: AnswerOf<'STATUS'> } | null> {
    const { peers, clock } = this.#ctx;
    const startMs = clock.monotonicMs();
    const result = await peers.call(slot, { t: 'STATUS' as const }, EMPTY, timeoutMs);
    return result.kind === 'answer' ? { tookMs: clock.monotonicMs() - startMs, status: result.answer } : null;
  }

  suspicions(): readonly Suspicion[] {
    return this.#ctx.peers.suspicions.list();
  }

  health(): readonly SlotHealth[] {
    return this.#ctx.peers.health();
  }

  async close(): Promise<void> {
    await this.#ctx.peers.close();
    await this.#ctx.background.drain();
  }
}
