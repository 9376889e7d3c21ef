/**
 * Fills the history from the nodes: follows each log from where it was left to a fresh signed checkpoint, and
 * fetches the certificate of every version that is new. A log that names a certificate which it does not give,
 * and no other node gives either, does not count: it may be a lie.
 */
import { equal, mapKey } from '../../base/bytes.ts';
import { OperationError } from '../../base/errors.ts';
import type { Certified } from '../../client/certificates.ts';
import type { ProtocolClient } from '../../client/client.ts';
import type { VersionMeta } from '../../keyring/metadata.ts';
import { decodeEntry } from '../../log/entry-types.ts';
import { SYSTEM_BUCKET_ID } from '../../protocol/bucket-record.ts';
import { decodeCommitted } from '../../protocol/log-entries.ts';
import type { CommittedBody } from '../../protocol/log-entries.ts';
import { quorumSize } from '../../protocol/quorum.ts';
import type { Quorums } from '../../protocol/quorum.ts';
import type { BucketRegistry } from '../buckets/bucket-registry.ts';
import { indexedVersion } from '../index/indexed-version.ts';
import type { History } from './history.ts';
import { entryKey } from './rows.ts';
import type { Entry, Fact, Place } from './rows.ts';

export interface HistoryPorts {
  readonly client: Pick<ProtocolClient, 'followLeaves' | 'committedAt' | 'certificates'>;
  readonly registry: BucketRegistry;
  readonly history: History;
  readonly quorums: Quorums;
}

/** The logs up to which the history is complete. */
export interface FollowedLogs {
  readonly sizes: ReadonlyMap<number, number>;
  /** The signed checkpoints that say so, as notes. */
  readonly notes: ReadonlyMap<number, string>;
}

interface Logged {
  readonly index: number;
  readonly body: CommittedBody;
}

export class HistoryReader {
  readonly #ports: HistoryPorts;
  /** Logs are taken in one batch after the other: a version that several name is fetched once. */
  #queue: Promise<void> = Promise.resolve();
  /** Slots whose logs name what nobody gives. */
  readonly #incomplete = new Set<number>();
  readonly #taken = new Set<number>();

  constructor(ports: HistoryPorts) {
    this.#ports = ports;
  }

  /** Reads all logs to their ends. Throws NO_QUORUM when fewer than q can be followed. */
  async sync(): Promise<FollowedLogs> {
    const { client, history, quorums } = this.#ports;
    const saved = new Map<number, Uint8Array>();
    const slots = Array.from({ length: quorums.n }, (_, slot) => slot);
    for (const slot of slots) {
      const bytes = await history.tail(slot);
      if (bytes !== undefined) saved.set(slot, bytes);
    }
    await history.begin();
    const follower = client.followLeaves((slot, leaves, from) => this.#take(slot, leaves, from), saved);
    const verdicts = await Promise.all(slots.map((slot) => follower.fresh(slot)));
    const sizes = new Map<number, number>();
    const notes = new Map<number, string>();
    const tails = new Map<number, Uint8Array>();
    for (const verdict of verdicts) {
      const note = follower.checkpoint(verdict.slot)?.note;
      if (!verdict.ok || note === undefined || this.#incomplete.has(verdict.slot)) continue;
      sizes.set(verdict.slot, verdict.size);
      notes.set(verdict.slot, note);
      const tail = follower.serialise(verdict.slot);
      if (tail !== null) tails.set(verdict.slot, tail);
    }
    // What a log has told that failed later may be wrong: then the next process begins anew.
    const isSettled = verdicts.every(({ ok, slot }) => (ok && !this.#incomplete.has(slot)) || !this.#taken.has(slot));
    if (isSettled) await history.settled(tails);
    const q = quorumSize(quorums);
    if (sizes.size >= q) return { sizes, notes };
    throw new OperationError('NO_QUORUM', `${sizes.size} logs could be followed where ${q} are needed.`, {
      retryable: true,
      remedy: 'Check that the storage nodes are running and reachable.',
    });
  }

  #take(slot: number, leaves: readonly Uint8Array[], from: number): Promise<void> {
    this.#taken.add(slot);
    const logged = leaves.flatMap((leaf, i): Logged[] => {
      const entry = decodeEntry(leaf);
      const body = entry?.type === 'COMMITTED' ? decodeCommitted(entry.body) : null;
      return body?.ok === true ? [{ index: from + i, body: body.value }] : [];
    });
    const taken = this.#queue.then(() => this.#ingest(slot, logged));
    // Whoever follows awaits `taken`; the next in the queue goes on whatever became of it.
    this.#queue = taken.catch(() => undefined);
    return taken;
  }

  async #ingest(slot: number, logged: readonly Logged[]): Promise<void> {
    const { client, history } = this.#ports;
    const known = await Promise.all(logged.map(({ body }) => history.entry(entryKey(body))));
    const lacking = logged.filter((_, i) => (known[i]?.fact ?? null) === null);
    const certs = await client.committedAt(slot, lacking.map(({ index, body }) => ({ index, manifestHash: body.manifestHash })));
    const facts = new Map<string, Fact>();
    // Records first: they name the buckets whose versions are opened next.
    const opened = certs.flatMap((cert) => (cert === null ? [] : [cert]));
    for (const isRecord of [true, false]) {
      for (const certified of opened) {
        if (equal(certified.signed.manifest.bucketId, SYSTEM_BUCKET_ID) !== isRecord) continue;
        facts.set(mapKey(certified.signed.hash), await this.#fact(certified));
      }
    }
    const entries = logged.map(({ index, body }, i): Entry => {
      const before = known[i];
      const fact = before?.fact ?? facts.get(mapKey(body.manifestHash)) ?? null;
      if (fact === null) this.#incomplete.add(slot);
      return { ...entryFields(body), places: placed(before?.places ?? [], { slot, index }), fact };
    });
    await history.put(merged(entries));
  }

  async #fact(certified: Certified): Promise<Fact> {
    const { registry, history } = this.#ports;
    const { signed, bytes } = certified;
    const { manifest } = signed;
    const { bucketId, stamp, gatewayId } = manifest;
    const common = { size: manifest.size, etag: '', mtimeMs: 0, kept: null, owner: null, gatewayId, removes: manifest.slot?.removes ?? 'ALL' } as const;
    if (equal(bucketId, SYSTEM_BUCKET_ID)) {
      const bucket = registry.observe(certified);
      if (bucket !== null) await history.putBucket(bucket.bucketId, { name: bucket.name, gen: bucket.record.gen });
      return { ...common, t: bucket === null ? 'sealed' : 'record', name: bucket?.name ?? null };
    }
    const bucket = await registry.ofId(bucketId, stamp.gen);
    if (bucket !== null) await history.putBucket(bucketId, { name: bucket.name, gen: bucket.record.gen });
    const keys = bucket?.record.gen === stamp.gen ? bucket.keys : null;
    const { meta } = indexedVersion(signed, bytes, keys, 0);
    return meta === null ? { ...common, t: 'sealed', name: null } : { ...common, ...told(meta, manifest.size) };
  }
}

function entryFields({ bucketId, keyId, stamp, manifestHash, kind }: CommittedBody): Omit<Entry, 'places' | 'fact'> {
  return { bucketId, keyId, stamp, manifestHash, kind };
}

function placed(before: readonly Place[], place: Place): readonly Place[] {
  return [...before.filter(({ slot }) => slot !== place.slot), place];
}

/** One log may name a version twice in one batch: one row has both. */
function merged(entries: readonly Entry[]): readonly Entry[] {
  return [...new Map(entries.map((entry) => [mapKey(entryKey(entry)), entry])).values()];
}

/** What the sealed metadata says of a version. */
function told(meta: VersionMeta, size: number): Pick<Fact, 't' | 'name' | 'mtimeMs'> & Partial<Fact> {
  const { mtimeMs } = meta;
  switch (meta.t) {
    case 'object': {
      const { name, etag, kept, owner, partListBytes } = meta;
      return { t: 'object', name, etag, mtimeMs, kept, owner, size: Math.max(0, size - partListBytes) };
    }
    case 'tombstone': {
      const isObject = meta.of.t === 'object';
      const t = isObject && meta.kept !== 'NEVER' ? 'marker' : 'tombstone';
      return { t, name: meta.of.t === 'object' ? meta.of.name : null, mtimeMs, kept: meta.kept, owner: meta.owner, size: 0 };
    }
    case 'remove':
      return { t: 'remove', name: meta.of.name, mtimeMs, size: 0 };
    case 'upload':
    case 'part':
    case 'attributes':
    case 'documents':
      return { t: meta.t, name: null, mtimeMs };
  }
}
