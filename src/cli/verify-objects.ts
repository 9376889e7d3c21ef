/**
 * The objects half of `holdfast verify`: for each key the certificates that the nodes show, and of its highest
 * version every piece of every slot, each held against the manifest's commitment; then the codeword is
 * computed again from k good cells, so that a writer that encoded nonsense is seen as well (I6). Needs no key
 * of the owner: nothing is decrypted.
 */
import { EMPTY, equal, hex, mapKey } from '../base/bytes.ts';
import { CERTS_BATCH_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import { higher } from '../client/certificates.ts';
import type { Certificates, Certified } from '../client/certificates.ts';
import type { CallResult, Peers } from '../client/peers.ts';
import { sha256 } from '../crypto/primitives.ts';
import type { Codec } from '../erasure/codec.ts';
import { rowLeaf } from '../merkle/tiles.ts';
import { verifyInclusion } from '../merkle/tree.ts';
import { promisesContent } from '../protocol/certificate.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { decode } from '../protocol/encoding.ts';
import { partTableSchema } from '../protocol/manifest.ts';
import type { Part } from '../protocol/manifest.ts';
import type { Request } from '../protocol/messages.ts';
import { compareStamps } from '../protocol/stamp.ts';
import { cellBytesOf, stripeCount } from '../protocol/stripes.ts';
import type { Layout } from '../protocol/stripes.ts';
import type { NodeLog } from './verify-logs.ts';
import { Draft } from './verify-report.ts';
import type { VerifyReport } from './verify-report.ts';

const CALL_MS = 15_000;
const LEASE_MS = 60_000;
/** How often a version may be replaced under the check before its key is left to the next run. */
const RESTARTS_MAX = 5;
const HASH = 32;

export interface VerifyContext {
  readonly cluster: Cluster;
  readonly peers: Peers;
  readonly certificates: Certificates;
  readonly logs: readonly NodeLog[];
  readonly codec: Codec;
  readonly report: VerifyReport;
}

interface Content {
  readonly contentId: Uint8Array;
  readonly layout: Layout;
}

/** whole: k + f pieces or more are good; weak: at least k; short: fewer; replaced: a newer version came. */
type Outcome = 'whole' | 'weak' | 'short' | 'replaced';
const SEVERITY: readonly Outcome[] = ['whole', 'weak', 'short', 'replaced'];

function worse(a: Outcome, b: Outcome): Outcome {
  return SEVERITY.indexOf(a) > SEVERITY.indexOf(b) ? a : b;
}

interface GoodPiece {
  readonly bytes: Uint8Array;
  /** Of a cell. */
  readonly row: Uint8Array | null;
}

/** What a slot gave for one piece: bytes that verified, nothing, or the news that the version was replaced. */
type Piece = (GoodPiece & { readonly kind: 'good' }) | { readonly kind: 'bad' } | { readonly kind: 'replaced' };

export class ObjectVerifier {
  readonly #ctx: VerifyContext;
  /** Contents of which all slots were found good: copies and parts name the same ones. */
  readonly #whole = new Set<string>();
  /** Certificates whose receipts lie beyond what was read of a log. */
  readonly pending: Certified[] = [];
  /** Keys whose newest version may still be on its way to some slots: look at them again a little later. */
  unsettled: Uint8Array[] = [];

  constructor(ctx: VerifyContext) {
    this.#ctx = ctx;
  }

  /** Keys that any node's log names. */
  keys(): Uint8Array[] {
    const keys = new Map<string, Uint8Array>();
    for (const log of this.#ctx.logs) {
      for (const name of log.committed.keys()) keys.set(name, Uint8Array.from(name, (c) => c.charCodeAt(0)));
    }
    return [...keys.values()];
  }

  /** Checks up to CERTS_BATCH_MAX keys. Unless `isFinal`, those with missing pieces go to `unsettled` instead of the report. */
  async verifyKeys(keyIds: readonly Uint8Array[], isFinal: boolean): Promise<void> {
    const shown = await this.#shownCertificates(keyIds);
    for (const [index, keyId] of keyIds.entries()) {
      const draft = new Draft();
      await this.#verifyKey(keyId, shown.map((certs) => certs[index] ?? null), draft);
      if (draft.isUnsettled && !isFinal) this.unsettled.push(keyId);
      else this.#ctx.report.take(draft);
    }
  }

  async #verifyKey(keyId: Uint8Array, shown: readonly (Certified | null)[], draft: Draft): Promise<void> {
    const { report, logs } = this.#ctx;
    for (const [slot, certified] of shown.entries()) {
      const promised = logs[slot]?.committed.get(mapKey(keyId));
      if (promised === undefined || !report.isReachable(slot)) continue;
      if (certified !== null && compareStamps(certified.stamp, promised) >= 0) continue;
      draft.note(slot, 'certificate', `key ${short(keyId)}: it shows less than its own log holds`);
    }
    let version: Certified | null = null;
    for (const certified of shown) version = higher(version, certified);
    for (let restart = 0; version !== null && restart < RESTARTS_MAX; restart += 1) {
      const outcome = await this.#verifyVersion(version, draft);
      if (outcome === 'done') return;
      const again = await this.#shownCertificates([keyId]);
      for (const certs of again) version = higher(version, certs[0] ?? null);
    }
  }

  async #verifyVersion(version: Certified, draft: Draft): Promise<'done' | 'replaced'> {
    const { manifest } = version.signed;
    let outcome: Outcome = 'whole';
    switch (manifest.kind) {
      case 'TOMBSTONE':
      case 'REMOVE':
        break;
      case 'INLINE':
        outcome = (await this.#verifyBody(version, draft)).outcome;
        break;
      case 'DATA': {
        const { k, n, cellBytes, size, contentId } = manifest;
        outcome = await this.#verifyContent(version, { contentId, layout: { k, n, cellBytes, size } }, draft);
        break;
      }
      case 'TABLE':
        outcome = await this.#verifyParts(version, draft);
        break;
    }
    if (outcome === 'replaced') return 'replaced';
    draft.versions += 1;
    if (outcome === 'weak') draft.weak += 1;
    if (outcome === 'short') draft.unreadable += 1;
    this.#checkReceipts(version, true);
    return 'done';
  }

  /** Holds each receipt of the certificate against the log of its slot. */
  #checkReceipts(version: Certified, mayWait: boolean): void {
    const { logs, report } = this.#ctx;
    let waits = false;
    for (const { slot, logIndex } of version.cert.receipts) {
      const held = logs[slot]?.holdsReceipt(version.cert) ?? 'unknown';
      if (held === 'no') report.note(slot, 'log', `entry ${logIndex} is not the one that its receipt promised`);
      if (held === 'unknown' && report.isReachable(slot)) {
        waits = true;
        if (!mayWait) report.note(slot, 'log', `it gave a receipt for entry ${logIndex}, but its log ends before`);
      }
    }
    if (waits && mayWait) this.pending.push(version);
  }

  /** After the logs were followed further: what still has no place in them was promised and is not there. */
  settlePending(): void {
    for (const version of this.pending) this.#checkReceipts(version, false);
  }

  async #verifyParts(version: Certified, draft: Draft): Promise<Outcome> {
    const body = await this.#verifyBody(version, draft);
    if (body.bytes === null) return body.outcome;
    const table = decode<readonly Part[]>(partTableSchema, body.bytes, FRAME_PAYLOAD_BYTES_MAX);
    if (!table.ok) {
      draft.writers.push(`version ${short(version.signed.hash)}: its part table is malformed: ${table.reason}`);
      return 'short';
    }
    let { outcome } = body;
    for (const { contentId, size, n, k, cellBytes } of table.value) {
      const part = await this.#verifyContent(version, { contentId, layout: { k, n, cellBytes, size } }, draft);
      if (part === 'replaced') return part;
      outcome = worse(outcome, part);
    }
    return outcome;
  }

  async #verifyBody(version: Certified, draft: Draft): Promise<{ outcome: Outcome; bytes: Uint8Array | null }> {
    const { keyId, contentId } = version.signed.manifest;
    const what = `version ${short(version.signed.hash)}`;
    const pieces = await this.#fromEach(draft, async (slot) => {
      const request = { t: 'BODY' as const, keyId, manifestHash: version.signed.hash, stamp: version.stamp, contentId, leaseMs: LEASE_MS };
      const result = await this.#ctx.peers.call(slot, request, EMPTY, CALL_MS);
      if (result.kind !== 'answer') return this.#refusal(slot, version, result, what, draft);
      if (equal(sha256(result.payload), contentId)) return { kind: 'good', bytes: result.payload, row: null };
      draft.note(slot, 'wrong', `${what}: a body that the manifest does not commit to`);
      return { kind: 'bad' };
    });
    if (pieces === null) return { outcome: 'replaced', bytes: null };
    draft.contents += 1;
    const [piece] = pieces.values();
    return { outcome: this.#strength(pieces.size, 1), bytes: piece?.bytes ?? null };
  }

  async #verifyContent(version: Certified, content: Content, draft: Draft): Promise<Outcome> {
    const name = `${mapKey(content.contentId)} ${content.layout.size}`;
    if (this.#whole.has(name)) return 'whole';
    let outcome: Outcome = 'whole';
    let complete = true;
    for (let stripe = 0; stripe < stripeCount(content.layout); stripe += 1) {
      const cells = await this.#fromEach(draft, (slot) => this.#fetchCell(version, content, stripe, slot, draft));
      if (cells === null) return 'replaced';
      if (cells.size < content.layout.n) complete = false;
      outcome = worse(outcome, this.#strength(cells.size, content.layout.k));
      if (cells.size >= content.layout.k) this.#checkCodeword(version, content, stripe, cells, draft);
    }
    draft.contents += 1;
    if (complete) this.#whole.add(name);
    return outcome;
  }

  #strength(good: number, k: number): Outcome {
    if (good < k) return 'short';
    return good < k + this.#ctx.cluster.geometry.f ? 'weak' : 'whole';
  }

  async #fetchCell(version: Certified, { contentId, layout }: Content, stripe: number, slot: number, draft: Draft): Promise<Piece> {
    const what = `content ${short(contentId)} stripe ${stripe}`;
    const { keyId } = version.signed.manifest;
    const request = { t: 'FETCH' as const, keyId, manifestHash: version.signed.hash, stamp: version.stamp, contentId, stripe, leaseMs: LEASE_MS };
    const result = await this.#ctx.peers.call(slot, request, EMPTY, CALL_MS);
    if (result.kind !== 'answer') return this.#refusal(slot, version, result, what, draft);
    const { row, path } = result.answer;
    const proven = row.length === HASH * layout.n && verifyInclusion(contentId, rowLeaf(row), stripe, stripeCount(layout), path);
    const cell = result.payload;
    const right = proven && cell.length === cellBytesOf(layout, stripe) && equal(sha256(cell), hashAt(row, slot));
    if (right) return { kind: 'good', bytes: cell, row };
    draft.note(slot, 'wrong', `${what}: a ${proven ? 'cell' : 'row'} that the manifest does not commit to`);
    return { kind: 'bad' };
  }

  /** Computes every cell from k of the good ones and holds it against the row: the row must be a codeword's. */
  #checkCodeword(
    version: Certified,
    { contentId, layout }: Content,
    stripe: number,
    cells: ReadonlyMap<number, GoodPiece>,
    draft: Draft,
  ): void {
    const { codec } = this.#ctx;
    const { k, n } = layout;
    const cellBytes = cellBytesOf(layout, stripe);
    const have = [...cells.keys()].sort((a, b) => a - b).slice(0, k);
    const row = cells.get(have[0] ?? 0)?.row ?? EMPTY;
    if (n * cellBytes > codec.memory.length) return;
    for (const slot of have) codec.memory.set(cells.get(slot)?.bytes ?? EMPTY, slot * cellBytes);
    const want = Array.from({ length: n }, (_, slot) => slot).filter((slot) => !have.includes(slot));
    codec.reconstruct({ k, n }, { base: 0, cellBytes }, have, want);
    const isCodeword = want.every((slot) => equal(sha256(codec.memory.subarray(slot * cellBytes, (slot + 1) * cellBytes)), hashAt(row, slot)));
    if (!isCodeword) draft.writers.push(`gateway ${short(version.signed.manifest.gatewayId)}: content ${short(contentId)} stripe ${stripe} is no codeword`);
  }

  /** Why there is no piece; a proven newer version is no fault. */
  #refusal(
    slot: number,
    version: Certified,
    result: Exclude<CallResult<Request['t']>, { kind: 'answer' }>,
    what: string,
    draft: Draft,
  ): Piece {
    const { report, certificates } = this.#ctx;
    if (result.kind === 'failed') {
      if (result.error.code === 'TIMEOUT' || result.error.code === 'BUSY') draft.note(slot, 'unanswered', `${what}: ${result.error.code}`);
      else report.lose(slot, `it stopped answering: ${result.error.code}`);
      return { kind: 'bad' };
    }
    if (result.kind === 'malformed') {
      draft.note(slot, 'wrong', `${what}: a malformed answer: ${result.reason}`);
      return { kind: 'bad' };
    }
    const { code, cert, reason } = result.refused;
    if (code === 'SUPERSEDED' && cert !== null) {
      const opened = certificates.open(cert);
      const { keyId } = version.signed.manifest;
      const isNewer = opened.ok && equal(opened.certified.signed.manifest.keyId, keyId) && compareStamps(opened.certified.stamp, version.stamp) > 0;
      if (isNewer) return { kind: 'replaced' };
    }
    const isPromised = promisesContent(version.cert, slot);
    if (code === 'HOLE' && isPromised) draft.note(slot, 'damaged', `${what}: it is damaged on its disk`);
    else if (code === 'NOT_HELD' && isPromised) draft.note(slot, 'missing', `${what}: it does not hold it, although it gave a receipt`);
    else if (code === 'HOLE' || code === 'NOT_HELD') draft.note(slot, 'incomplete', `${what}: it never got it`);
    else draft.note(slot, 'unanswered', `${what}: refused, ${code}: ${reason}`);
    return { kind: 'bad' };
  }

  /** Asks every reachable slot at once. The good pieces by slot, or null when the version was replaced. */
  async #fromEach(draft: Draft, ask: (slot: number) => Promise<Piece>): Promise<Map<number, GoodPiece> | null> {
    const { peers, report } = this.#ctx;
    const slots = peers.all().filter((slot) => report.isReachable(slot));
    const pieces = await Promise.all(slots.map(async (slot) => ({ slot, piece: await ask(slot) })));
    if (pieces.some(({ piece }) => piece.kind === 'replaced')) return null;
    const good = new Map<number, GoodPiece>();
    for (const { slot, piece } of pieces) {
      if (piece.kind !== 'good') continue;
      draft.good(slot, piece.bytes.length);
      good.set(slot, piece);
    }
    return good;
  }

  /** By slot, then in the order of the keys: valid certificates, null for none. */
  async #shownCertificates(keyIds: readonly Uint8Array[]): Promise<(Certified | null)[][]> {
    const { peers, report } = this.#ctx;
    return Promise.all(
      peers.all().map(async (slot) => {
        const certs: (Certified | null)[] = [];
        while (certs.length < keyIds.length && report.isReachable(slot)) {
          const rest = keyIds.slice(certs.length, certs.length + CERTS_BATCH_MAX);
          const result = await peers.call(slot, { t: 'CERTS', keyIds: rest }, EMPTY, CALL_MS);
          if (result.kind === 'failed') {
            report.lose(slot, `it stopped answering: ${result.error.code}`);
            break;
          }
          if (result.kind !== 'answer' || result.answer.certs.length === 0) {
            report.note(slot, 'certificate', 'it does not show its certificates');
            break;
          }
          for (const [index, bytes] of result.answer.certs.entries()) certs.push(this.#openShown(slot, rest[index] ?? EMPTY, bytes));
        }
        return certs;
      }),
    );
  }

  #openShown(slot: number, keyId: Uint8Array, bytes: Uint8Array | null): Certified | null {
    if (bytes === null) return null;
    const opened = this.#ctx.certificates.open(bytes);
    const isOfKey = opened.ok && equal(opened.certified.signed.manifest.keyId, keyId);
    if (opened.ok && isOfKey) return opened.certified;
    this.#ctx.report.note(slot, 'certificate', `key ${short(keyId)}: ${opened.ok ? 'the certificate of another key' : opened.reason}`);
    return null;
  }
}

function hashAt(row: Uint8Array, slot: number): Uint8Array {
  return row.subarray(HASH * slot, HASH * (slot + 1));
}

function short(bytes: Uint8Array): string {
  return hex(bytes.subarray(0, 6));
}
