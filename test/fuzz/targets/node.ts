/**
 * A real storage node among three others, on disks in memory: every kind of request, mutated, from a writer, from
 * another node and from a stranger. Manifests that were changed are signed again with the writer's key, because
 * a Byzantine writer can. Whatever comes, the node answers in the protocol's own terms, by no failure of its
 * own, keeps serving, and holds no more than its quota allows.
 */
import * as dagCbor from '@ipld/dag-cbor';
import { EMPTY, equal, hex } from '../../../src/base/bytes.ts';
import type { Frame, PeerConnection } from '../../../src/base/ports.ts';
import { sha256 } from '../../../src/crypto/primitives.ts';
import { checkFrameSize } from '../../../src/platform/frames.ts';
import { encodeBucketRecord, SYSTEM_BUCKET_ID } from '../../../src/protocol/bucket-record.ts';
import { encode } from '../../../src/protocol/encoding.ts';
import { signedManifestToWire } from '../../../src/protocol/manifest.ts';
import type { SignedManifest } from '../../../src/protocol/manifest.ts';
import { decodeAnswer, decodeRequest, encodeRequest } from '../../../src/protocol/messages.ts';
import type { Request } from '../../../src/protocol/messages.ts';
import { ZERO_STAMP } from '../../../src/protocol/stamp.ts';
import { prove } from '../../../src/sim/adversaries/stage.ts';
import { FaultyDisk } from '../../../src/sim/faulty-disk.ts';
import { seededKey } from '../../../src/sim/members.ts';
import type { StorageNode } from '../../../src/storage-node/node.ts';
import { World } from '../../world/world.ts';
import { holds } from '../decoder.ts';
import type { Outcome, Subject, Target } from '../engine.ts';
import { CELL, certificateOf, CLUSTER, id, INLINE_BODY, manifestOf, NODE_KEYS, PART_TABLE, ROW, SHAPE, signed, stampAt, UNCERTIFIED_BYTES_MAX, WRITER } from '../valid.ts';
import { REQUESTS } from './protocol.ts';

const SLOT = 0;
/** Disks in memory, timers and the other nodes take turns with it. */
const WAITS_MS = 10_000;
type Sender = 'writer' | 'node' | 'stranger';

/** What an input holds: who asks, the frame, and whether its manifest is signed again. */
interface Asked {
  readonly from: Sender;
  readonly body: Uint8Array;
  readonly payload: Uint8Array;
  readonly signs: boolean;
}

const record = signed(
  manifestOf('INLINE', {
    bucketId: SYSTEM_BUCKET_ID, keyId: id('bucket'), bucketStamp: ZERO_STAMP,
    clear: encodeBucketRecord({ v: 1, bucketId: id('bucket'), gen: 1, mode: 'PLAIN', versioning: 'NEVER', lock: false, geometries: [1, 2], quotaBytes: 0, state: 'OPEN' }),
  }),
);
const upload = id('upload').subarray(0, 16);
/** Versions of keys of their own, so that they do not stand in each other's way. */
const versions = {
  DATA: signed(manifestOf('DATA', { keyId: id('node data') })),
  INLINE: signed(manifestOf('INLINE', { keyId: id('node inline') })),
  TABLE: signed(manifestOf('TABLE', { keyId: id('node table') })),
  TOMBSTONE: signed(manifestOf('TOMBSTONE', { keyId: id('node tombstone') })),
  UPLOADED: signed(manifestOf('DATA', { keyId: id('node upload') })),
} as const;
/** Held by the node from the start. */
const held = signed(manifestOf('INLINE', { keyId: id('held') }));

function prepare(version: SignedManifest, more: Partial<Extract<Request, { t: 'PREPARE' }>> = {}): Request {
  return { t: 'PREPARE', manifest: signedManifestToWire(version), upload: null, row: null, prevCert: null, record: null, ...more };
}

function seed(request: Request, payload: Uint8Array = EMPTY, from: Sender = 'writer'): Uint8Array {
  return encode({ from, body: encodeRequest(request), payload, signs: request.t === 'PREPARE' } satisfies Asked);
}

const { keyId } = held.manifest;
const named = { keyId, manifestHash: held.hash, stamp: held.manifest.stamp, contentId: held.manifest.contentId, leaseMs: 0 };
const { manifest: data } = versions.DATA;
const namedData = { keyId: data.keyId, manifestHash: versions.DATA.hash, stamp: data.stamp, contentId: data.contentId, leaseMs: 10 };
const dataCert = certificateOf(versions.DATA);
const SEEDS: readonly Uint8Array[] = [
  seed(prepare(versions.DATA, { row: ROW }), CELL),
  seed(prepare(versions.INLINE), INLINE_BODY),
  seed(prepare(versions.TOMBSTONE, { record: certificateOf(record), prevCert: certificateOf(held) })),
  seed({ t: 'CELL', upload, stripe: 0, reserve: 512, row: ROW }, CELL),
  seed(prepare(versions.UPLOADED, { upload })),
  seed({ t: 'COMMIT', cert: dataCert, inline: false }),
  seed({ t: 'FETCH', ...namedData, stripe: 0 }),
  seed(prepare(versions.TABLE), PART_TABLE),
  seed({ t: 'COMMIT', cert: certificateOf(versions.INLINE), inline: true }, INLINE_BODY),
  seed({ t: 'QUERY', keyId, cell0: true, seen: null }),
  seed({ t: 'BODY', ...named }),
  seed({ t: 'CHECKPOINT', nonce: upload }),
  seed({ t: 'CHANGES', from: 0, to: 50 }),
  seed({ t: 'CERTS', keyIds: [keyId, id('none')] }),
  seed({ t: 'SHOWN', keyIds: [keyId, id('none')] }),
  seed({ t: 'RESOLVE', keyId: id('orphan'), stamp: stampAt(5), promise: true }),
  seed({ t: 'ABORT', keyId: id('orphan'), stamp: stampAt(5), resolutions: [1, 2, 3].map((slot) => resolution(slot)) }),
  seed({ t: 'HISTORY', indexes: [0, 1, 2] }),
  seed({ t: 'REVOCATIONS' }),
  seed({ t: 'STATUS' }),
  seed({ t: 'BOOT' }, EMPTY, 'node'),
  seed({ t: 'REMEMBER', incarnation: 7, proof: bootProof(7) }, EMPTY, 'node'),
  seed({ t: 'CHANGES', from: 0, to: 50 }, EMPTY, 'node'),
  seed({ t: 'QUERY', keyId, cell0: false, seen: null }, EMPTY, 'node'),
];
/** Valid in their form and refused by the node: strangers, and what it does not hold. */
const REFUSED: readonly Uint8Array[] = [
  seed({ t: 'FETCH', ...named, stripe: 0 }),
  ...[1, 2, 2 ** 40].map((stripe) => seed({ t: 'FETCH', ...namedData, stripe })),
  ...[UNCERTIFIED_BYTES_MAX + 1, 2 ** 53 - 1].map((reserve, i) => seed({ t: 'CELL', upload: id(`upload ${i}`).subarray(0, 16), stripe: 0, reserve, row: ROW }, CELL)),
  seed({ t: 'CHANGES', from: 2 ** 53 - 1, to: 2 ** 53 - 1 }),
  seed({ t: 'STATUS' }, EMPTY, 'stranger'),
  ...REQUESTS.filter((_, i) => i % 4 === 0).map((request) => seed(request, EMPTY, 'stranger')),
  ...REQUESTS.filter((_, i) => i % 4 === 2).map((request) => seed(request, EMPTY, 'node')),
];

function resolution(slot: number) {
  const body = encode({ v: 1, keyId: id('orphan'), stamp: stampAt(5), slot, epoch: 1, prepared: null });
  return { body, proof: prove(CLUSTER, seededKey(`node ${slot}`), 'resolution', body) };
}

function bootProof(incarnation: number) {
  const body = encode({ v: 1, nodeId: CLUSTER.slotAt(1)?.nodeId ?? EMPTY, epoch: 1, incarnation });
  return prove(CLUSTER, seededKey('node 1'), 'boot', body);
}

/** What the input asks; bytes that are no such map are the body of a frame as they are. */
function askedOf(input: Uint8Array): Asked {
  try {
    const { from, body, payload, signs } = dagCbor.decode<Partial<Record<keyof Asked, unknown>>>(input);
    const sender = from === 'node' || from === 'stranger' ? from : 'writer';
    if (body instanceof Uint8Array) return { from: sender, body, payload: payload instanceof Uint8Array ? payload : EMPTY, signs: signs === true };
  } catch {
    // Falls through: the input is a body.
  }
  return { from: 'writer', body: input, payload: EMPTY, signs: false };
}

/** The same request with its manifest signed, when it holds one: of a fresh key, or it would contradict what was accepted. */
function signedAgain(body: Uint8Array): Uint8Array {
  try {
    const request = dagCbor.decode<{ manifest?: { body?: unknown } }>(body);
    const bytes = request.manifest?.body;
    if (!(bytes instanceof Uint8Array)) return body;
    const manifest = ofFreshKey(bytes, sha256(body));
    return encode({ ...request, manifest: { body: manifest, proof: prove(CLUSTER, WRITER.signingKey, 'manifest', manifest) } });
  } catch {
    return body;
  }
}

function ofFreshKey(manifest: Uint8Array, fresh: Uint8Array): Uint8Array {
  try {
    const fields = dagCbor.decode<Record<string, unknown>>(manifest);
    return encode({ ...fields, keyId: fresh });
  } catch {
    return manifest;
  }
}

function connection(peer: string, number: number): PeerConnection {
  return { peer, id: number, notify: checkFrameSize, onClose: () => undefined };
}

class NodeSubject implements Subject {
  readonly #world: World;
  readonly #node: StorageNode;
  readonly #connections: Readonly<Record<Sender, PeerConnection>>;
  readonly #uploads = new Set<string>();

  constructor(world: World, node: StorageNode) {
    this.#world = world;
    this.#node = node;
    this.#connections = {
      writer: connection(hex(WRITER.tlsKey.publicKey), 1001),
      node: connection(hex(NODE_KEYS[1]?.tls.publicKey ?? EMPTY), 1002),
      stranger: connection(hex(id('stranger')), 1003),
    };
  }

  static async open(): Promise<NodeSubject> {
    const disks = new Map([0, 1, 2, 3].map((slot) => [slot, new FaultyDisk()]));
    const world = await World.start({ n: 4, writers: 2, disks, ...SHAPE });
    const node = world.nodes.get(SLOT);
    if (node === undefined) throw new Error('the node has not started');
    const subject = new NodeSubject(world, node);
    for (const version of [record, held]) {
      const cert = certificateOf(version);
      holds((await subject.attempt(seed({ t: 'COMMIT', cert, inline: true }, INLINE_BODY))) === 'accepted', 'the node takes a valid certificate');
    }
    return subject;
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    const { from, body, payload, signs } = askedOf(input);
    const frame = { body: signs ? signedAgain(body) : body, payload };
    const answer = await this.#node.handle(this.#connections[from], frame);
    checkFrameSize(answer);
    this.#requireHealth();
    const accepted = kindOf(frame, answer) === 'answer';
    holds(!(accepted && from === 'stranger'), 'a stranger is refused');
    holds(this.#reserves(frame.body) <= UNCERTIFIED_BYTES_MAX || !accepted, 'nobody reserves more than the quota');
    return accepted ? 'accepted' : 'refused';
  }

  async check(): Promise<void> {
    const query = { body: encodeRequest({ t: 'QUERY', keyId, cell0: true, seen: null }), payload: EMPTY };
    const answer = await this.#node.handle(this.#connections.writer, query);
    holds(kindOf(query, answer) === 'answer' && equal(answer.payload, INLINE_BODY), 'a valid request is answered');
    const { liveBytes } = this.#node.status();
    // Two writers' quotas, and what came with the few valid certificates.
    holds(liveBytes <= 2 * UNCERTIFIED_BYTES_MAX + 64 * 1024, `${liveBytes} bytes are live on the node`);
    this.#requireHealth();
  }

  async close(): Promise<void> {
    await this.#world.stop();
  }

  /** Bytes that a request asks to reserve: only the first of an upload does, even one that is refused for its cell. */
  #reserves(body: Uint8Array): number {
    const asked = decodeRequest(body);
    if (!asked.ok || asked.value.t !== 'CELL') return 0;
    const upload = hex(asked.value.upload);
    if (this.#uploads.has(upload)) return 0;
    this.#uploads.add(upload);
    return asked.value.reserve;
  }

  #requireHealth(): void {
    const { telemetry, lost } = this.#world;
    const own = telemetry.events.filter(({ name }) => name === 'a request failed' || name === 'upkeep failed');
    holds(own.length === 0, `the node's own failure: ${JSON.stringify(own[0]?.fields)}`);
    holds(lost.size === 0 && this.#node.status().state === 'SERVING', 'the node serves');
  }
}

function kindOf(request: Frame, answer: Frame): 'answer' | 'refused' {
  const asked = decodeRequest(request.body);
  const parsed = decodeAnswer(asked.ok ? asked.value.t : 'STATUS', answer.body);
  holds(parsed.kind !== 'malformed', 'the answer is one of the protocol');
  holds(asked.ok || parsed.kind === 'refused', 'what is no request is refused');
  // Its disk is in order: a signed HOLE would be evidence against it of a loss that never was.
  holds(parsed.kind !== 'refused' || parsed.refused.code !== 'HOLE', 'no loss is signed where nothing was lost');
  return parsed.kind === 'answer' ? 'answer' : 'refused';
}

export const nodeTargets: readonly Target[] = [
  { name: 'node', covers: [], format: { form: 'cbor' }, seeds: () => SEEDS, lends: () => REFUSED, open: () => NodeSubject.open(), inputs: 1_200, takesMs: WAITS_MS },
];
