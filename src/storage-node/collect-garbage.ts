/**
 * Garbage collection (protocol 5, 13.2, 13.3): the most dangerous honest code. A superseded version's content
 * goes only when (1) the certificate above it is known complete: c nodes show it or a higher one; and (2),
 * after that, n-f nodes have been asked for the bucket record and none shows a newer one. Then EVICT is
 * logged, the content is quarantined, and only then its space is given back.
 */
import { equal, mapKey } from '../base/bytes.ts';
import { SHOWN_BATCH_MAX } from '../base/limits.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { SYSTEM_BUCKET_ID } from '../protocol/bucket-record.ts';
import { decodeCertificate } from '../protocol/certificate.ts';
import { encodeEvict } from '../protocol/log-entries.ts';
import { holderCount, quorumSize } from '../protocol/quorum.ts';
import { compareStamps } from '../protocol/stamp.ts';
import { EMPTY } from '../base/bytes.ts';
import { openCertificate, takeIn } from './accept-certificate.ts';
import { ask } from './boot.ts';
import type { NodeContext } from './context.ts';
import type { Superseded, Version } from './register.ts';
import { Refused } from './reply.ts';
import type { HeldBucketRecord } from './state.ts';

/** One round over at most one batch of keys. Returns how many versions were evicted. */
export async function collectGarbage(ctx: NodeContext): Promise<number> {
  const candidates = takeCandidates(ctx);
  if (candidates.length === 0) return 0;
  const complete = await completeKeys(ctx, candidates);
  const reached = candidates.filter(({ version }) => complete.has(mapKey(version.keyId)));
  const settledBuckets = new Set<string>();
  for (const bucketId of new Set(reached.map(({ version }) => mapKey(version.bucketId)))) {
    if (await bucketIsCurrent(ctx, bucketId)) settledBuckets.add(bucketId);
  }
  let evicted = 0;
  for (const { version } of reached) {
    if (!settledBuckets.has(mapKey(version.bucketId)) || isLeased(ctx, version)) continue;
    const by = complete.get(mapKey(version.keyId));
    const max = ctx.state.register.max(version.keyId);
    if (by === undefined || max === null || !isReplacedBy(version, max)) continue;
    const leaf = encodeEntry('EVICT', encodeEvict({ v: 1, manifestHash: version.hash, keyId: version.keyId, byHash: by.hash }));
    ctx.state.write({ r: 'EVICT', leaf });
    evicted += 1;
  }
  await ctx.state.queuedIsDurable();
  ctx.telemetry.count('evictions', {}, evicted);
  return evicted;
}

function isLeased(ctx: NodeContext, version: Version): boolean {
  return (ctx.leases.get(mapKey(version.hash)) ?? 0) > ctx.clock.monotonicMs();
}

/** By a higher version, or by the other one of its own stamp: of two of one stamp at most one is ever certified (I1). */
function isReplacedBy(version: Version, max: Version): boolean {
  const order = compareStamps(max.stamp, version.stamp);
  return order > 0 || (order === 0 && !equal(max.hash, version.hash));
}

function takeCandidates(ctx: NodeContext): Superseded[] {
  const keys = new Set<string>();
  const taken: Superseded[] = [];
  for (const superseded of ctx.state.register.superseded()) {
    const name = mapKey(superseded.version.keyId);
    if (!keys.has(name) && keys.size >= SHOWN_BATCH_MAX) continue;
    if (isLeased(ctx, superseded.version)) continue;
    keys.add(name);
    taken.push(superseded);
  }
  return taken;
}

/** Step 1: the keys whose present certificate is shown, or surpassed, by c nodes, this one included. */
async function completeKeys(ctx: NodeContext, candidates: readonly Superseded[]): Promise<Map<string, Version>> {
  const byKey = new Map<string, Version>();
  for (const { version } of candidates) {
    const max = ctx.state.register.max(version.keyId);
    if (max !== null) byKey.set(mapKey(version.keyId), max);
  }
  const versions = [...byKey.values()];
  await Promise.all(versions.map((v) => v.durable));
  const counts = new Map<string, number>(versions.map((v) => [mapKey(v.keyId), 1]));
  await Promise.all(
    [...ctx.peers.keys()].map(async (slot) => {
      const answer = await ask(ctx, slot, { t: 'SHOWN', keyIds: versions.map((v) => v.keyId) });
      if (answer?.shown.length !== versions.length) return;
      versions.forEach((version, i) => {
        const shown = answer.shown[i];
        if (shown === null || shown === undefined || compareStamps(shown.stamp, version.stamp) < 0) return;
        const name = mapKey(version.keyId);
        counts.set(name, (counts.get(name) ?? 0) + 1);
      });
    }),
  );
  const needed = holderCount(ctx.cluster.geometry);
  return new Map([...byKey].filter(([name]) => (counts.get(name) ?? 0) >= needed));
}

/** Step 2: n-f nodes, this one included, show no newer record of the bucket. A newer one is taken in, and nothing goes in this round. */
async function bucketIsCurrent(ctx: NodeContext, bucketKey: string): Promise<boolean> {
  const held = ctx.state.bucketRecords.get(bucketKey);
  if (bucketKey === mapKey(SYSTEM_BUCKET_ID)) return true;
  if (held === undefined) return false;
  let answered = 1;
  let newer = false;
  await Promise.all(
    [...ctx.peers.keys()].map(async (slot) => {
      const request = { t: 'QUERY' as const, keyId: held.version.keyId, cell0: false, seen: null };
      const answer = await ask(ctx, slot, request);
      if (answer === null) return;
      if (answer.cert !== null) {
        const verdict = await takeInRecord(ctx, answer.cert, held);
        if (verdict === 'forged') {
          // No answer, and no reason to stop either: a liar must not keep the others from their upkeep.
          ctx.telemetry.count('suspicions', { kind: 'bad-certificate', slot: String(slot) });
          return;
        }
        newer ||= verdict === 'newer';
      }
      answered += 1;
    }),
  );
  return !newer && answered >= quorumSize(ctx.cluster.geometry);
}

/** Takes a shown bucket record in when it is newer than the one held. */
async function takeInRecord(ctx: NodeContext, bytes: Uint8Array, held: HeldBucketRecord): Promise<'known' | 'newer' | 'forged'> {
  const decoded = decodeCertificate(bytes);
  if (!decoded.ok || !equal(decoded.value.signed.manifest.keyId, held.version.keyId)) return 'forged';
  if (compareStamps(decoded.value.signed.manifest.stamp, held.stamp) <= 0) return 'known';
  try {
    await takeIn(ctx, bytes, openCertificate(ctx, bytes), EMPTY);
    return 'newer';
  } catch (error) {
    if (error instanceof Refused) return 'forged';
    throw error;
  }
}

/** Forgets leases that ran out. */
export function dropLeases(ctx: NodeContext): void {
  const now = ctx.clock.monotonicMs();
  for (const [name, until] of ctx.leases) if (until <= now) ctx.leases.delete(name);
}
