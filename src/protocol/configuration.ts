/**
 * The signed configuration (protocol 9, 13.13): who the members are and what they must respect. Every
 * process verifies the document itself, from the root that it pins; the chain begins with epoch 1, signed by
 * the admins that it names. A key serves one purpose: signing keys and TLS keys are never the same.
 */
import { z } from 'zod';
import { hex } from '../base/bytes.ts';
import { isSafePublicKey } from '../crypto/keys.ts';
import { sha256, verifySignature } from '../crypto/primitives.ts';
import { bytesOf, decode, encode, hash32, uint, uintUpTo } from './encoding.ts';
import type { Decoded } from './encoding.ts';
import { checkGeometry, SLOTS_MAX } from './quorum.ts';
import type { Geometry } from './quorum.ts';
import { SUITE_1 } from './manifest.ts';
import { statementBytes } from './statement.ts';

export const CONFIG_BYTES_MAX = 256 * 1024;
export const PROTOCOL_VERSION = 1;
export const WRITERS_MAX = 256;

export interface SlotConfig {
  readonly slot: number;
  readonly nodeId: Uint8Array;
  readonly signingKey: Uint8Array;
  readonly tlsKey: Uint8Array;
  /** host:port, in order of preference. */
  readonly addresses: readonly string[];
  /** Trust domain: who operates the node. */
  readonly domain: string;
}

export interface WriterConfig {
  readonly gatewayId: Uint8Array;
  readonly signingKey: Uint8Array;
  readonly tlsKey: Uint8Array;
  /** `write`: any bucket. `buckets`: may write bucket records. `resolve`: may settle orphans. `repair`, and nothing else: a controller. */
  readonly capabilities: readonly ('write' | 'buckets' | 'resolve' | 'bypassGovernance' | 'repair')[];
}

export interface Configuration {
  readonly v: 1;
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  readonly prevHash: Uint8Array | null;
  readonly phase: 'STABLE';
  readonly f: number;
  readonly k: number;
  readonly slots: readonly SlotConfig[];
  readonly writers: readonly WriterConfig[];
  readonly suiteMin: number;
  readonly protocolMin: number;
  readonly retentionMaxMs: number;
  /** Bytes that one writer may hold uncertified on one node (P9). */
  readonly uncertifiedBytesMax: number;
  readonly admins: readonly Uint8Array[];
  readonly m: number;
  readonly freshnessKey: Uint8Array;
  readonly notBefore: number;
}

const address = z.string().max(255).regex(/^[a-zA-Z0-9.:[\]-]+:\d{1,5}$/, 'expected host:port');

const configurationSchema: z.ZodType<Configuration> = z.strictObject({
  v: z.literal(1),
  clusterId: hash32,
  epoch: z.int().min(1),
  prevHash: hash32.nullable(),
  phase: z.literal('STABLE'),
  f: uintUpTo(SLOTS_MAX),
  k: uintUpTo(SLOTS_MAX),
  slots: z
    .array(
      z.strictObject({
        slot: uintUpTo(SLOTS_MAX - 1),
        nodeId: hash32,
        signingKey: bytesOf(32),
        tlsKey: bytesOf(32),
        addresses: z.array(address).min(1).max(4),
        domain: z.string().min(1).max(100),
      }),
    )
    .min(4)
    .max(SLOTS_MAX),
  writers: z
    .array(
      z.strictObject({
        gatewayId: hash32,
        signingKey: bytesOf(32),
        tlsKey: bytesOf(32),
        capabilities: z.array(z.enum(['write', 'buckets', 'resolve', 'bypassGovernance', 'repair'])).max(5),
      }),
    )
    .max(WRITERS_MAX),
  suiteMin: uintUpTo(255),
  protocolMin: uintUpTo(255),
  retentionMaxMs: uint,
  uncertifiedBytesMax: uint,
  admins: z.array(bytesOf(32)).min(1).max(16),
  m: z.int().min(1).max(16),
  freshnessKey: bytesOf(32),
  notBefore: uint,
});

const signedSchema = z.strictObject({
  body: z.custom<Uint8Array>((v) => v instanceof Uint8Array, { error: 'expected bytes' }),
  signatures: z.array(z.strictObject({ admin: bytesOf(32), signature: bytesOf(64) })).max(16),
});

export type ConfigVerdict =
  | { readonly ok: true; readonly cluster: Cluster }
  | { readonly ok: false; readonly reason: string };

/** A verified configuration with the look-ups that everyone needs. */
export class Cluster {
  readonly config: Configuration;
  readonly hash: Uint8Array;
  /** The signed document as it was read, to hand on. */
  readonly document: Uint8Array;
  readonly geometry: Geometry;
  readonly #slotsByTlsKey: ReadonlyMap<string, SlotConfig>;
  readonly #slotsByNodeId: ReadonlyMap<string, SlotConfig>;
  readonly #writersByTlsKey: ReadonlyMap<string, WriterConfig>;
  readonly #writersById: ReadonlyMap<string, WriterConfig>;

  constructor(config: Configuration, document: Uint8Array, hash: Uint8Array, geometry: Geometry) {
    this.config = config;
    this.document = document;
    this.hash = hash;
    this.geometry = geometry;
    this.#slotsByTlsKey = new Map(config.slots.map((s) => [hex(s.tlsKey), s]));
    this.#slotsByNodeId = new Map(config.slots.map((s) => [hex(s.nodeId), s]));
    this.#writersByTlsKey = new Map(config.writers.map((w) => [hex(w.tlsKey), w]));
    this.#writersById = new Map(config.writers.map((w) => [hex(w.gatewayId), w]));
  }

  get id(): Uint8Array {
    return this.config.clusterId;
  }

  get epoch(): number {
    return this.config.epoch;
  }

  /** Slots in order 0 to n-1. */
  get slots(): readonly SlotConfig[] {
    return this.config.slots;
  }

  slotAt(slot: number): SlotConfig | undefined {
    return this.config.slots[slot];
  }

  slotOfPeer(tlsKeyHex: string): SlotConfig | undefined {
    return this.#slotsByTlsKey.get(tlsKeyHex);
  }

  slotOfNode(nodeId: Uint8Array): SlotConfig | undefined {
    return this.#slotsByNodeId.get(hex(nodeId));
  }

  writerOfPeer(tlsKeyHex: string): WriterConfig | undefined {
    return this.#writersByTlsKey.get(tlsKeyHex);
  }

  writerById(gatewayId: Uint8Array): WriterConfig | undefined {
    return this.#writersById.get(hex(gatewayId));
  }

  /** TLS keys of all members, in hex: nobody else gets past a handshake. */
  peerKeys(): ReadonlySet<string> {
    return new Set([...this.#slotsByTlsKey.keys(), ...this.#writersByTlsKey.keys()]);
  }
}

export function encodeConfiguration(config: Configuration): Uint8Array {
  return encode(config);
}

/** The bytes an admin signs for a configuration. */
export function configStatement(clusterId: Uint8Array, body: Uint8Array): Uint8Array {
  return statementBytes('config', clusterId, body);
}

export function sealConfiguration(
  body: Uint8Array,
  signatures: readonly { readonly admin: Uint8Array; readonly signature: Uint8Array }[],
): Uint8Array {
  return encode({ body, signatures });
}

/** A configuration with the number of given admins whose signature on it verifies. */
export interface SignedConfiguration {
  readonly config: Configuration;
  readonly hash: Uint8Array;
  readonly signers: number;
}

/** Parses a signed document and counts signatures; `admins`: whose count, else those that it names. Never throws. */
export function openSignedConfiguration(
  document: Uint8Array,
  admins?: readonly Uint8Array[],
): Decoded<SignedConfiguration> {
  const signed = decode(signedSchema, document, CONFIG_BYTES_MAX);
  if (!signed.ok) return signed;
  const { body, signatures } = signed.value;
  const decoded = decode(configurationSchema, body, CONFIG_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const config = decoded.value;
  const statement = configStatement(config.clusterId, body);
  const known = new Set((admins ?? config.admins).map((key) => hex(key)));
  const signers = new Set<string>();
  for (const { admin, signature } of signatures) {
    if (known.has(hex(admin)) && verifySignature(admin, statement, signature)) signers.add(hex(admin));
  }
  return { ok: true, value: { config, hash: sha256(body), signers: signers.size } };
}

/**
 * Verifies the first document of a chain: schema, every predicate, and m signatures of the admins it names.
 * `rootHash`, where the caller has pinned one, is SHA-256 of the body and must match. Never throws.
 */
export function openRootConfiguration(document: Uint8Array, rootHash?: Uint8Array): ConfigVerdict {
  const opened = openSignedConfiguration(document);
  if (!opened.ok) return opened;
  const { config, hash, signers } = opened.value;
  if (rootHash !== undefined && hex(rootHash) !== hex(hash)) return { ok: false, reason: 'not the pinned root document' };
  if (config.epoch !== 1 || config.prevHash !== null) return { ok: false, reason: 'a chain begins with epoch 1' };
  const fault = predicateFault(config);
  if (fault !== null) return { ok: false, reason: fault };
  if (signers < config.m) {
    return { ok: false, reason: `${signers} valid admin signatures where m = ${config.m} are needed` };
  }
  const geometry = checkGeometry(config.slots.length, config.f, config.k);
  if (!geometry.ok) return geometry;
  return { ok: true, cluster: new Cluster(config, document, hash, geometry.geometry) };
}

/** The predicates that every reader of a configuration checks (R17). Returns what is violated, or null. */
export function predicateFault(config: Configuration): string | null {
  const geometry = checkGeometry(config.slots.length, config.f, config.k);
  if (!geometry.ok) return geometry.reason;
  for (const [index, slot] of config.slots.entries()) {
    if (slot.slot !== index) return `slots must be listed in order: slot ${slot.slot} stands at place ${index}`;
  }
  if (config.suiteMin < SUITE_1) return `the minimum suite is ${SUITE_1}`;
  if (config.suiteMin > SUITE_1) return `suite ${config.suiteMin} is unknown to this version`;
  if (config.protocolMin < 1) return 'the minimum protocol is 1';
  if (config.protocolMin > PROTOCOL_VERSION) return `protocol ${config.protocolMin} is unknown to this version`;
  if (config.m > config.admins.length) return `m = ${config.m} exceeds the ${config.admins.length} admins`;
  if (2 * config.m <= config.admins.length) return `2m > admins fails: m = ${config.m}, admins = ${config.admins.length}`;
  const isMixed = config.writers.some(({ capabilities }) => capabilities.includes('repair') && capabilities.length > 1);
  if (isMixed) return 'a controller may do nothing but repair';
  const domains = new Set(config.slots.map((s) => s.domain));
  if (domains.size !== config.slots.length) return 'two slots share one trust domain';
  const keys = [
    ...config.slots.flatMap((s) => [s.signingKey, s.tlsKey]),
    ...config.writers.flatMap((w) => [w.signingKey, w.tlsKey]),
    ...config.admins,
    config.freshnessKey,
  ];
  if (new Set(keys.map((key) => hex(key))).size !== keys.length) return 'one key serves two purposes';
  const ids = [...config.slots.map((s) => s.nodeId), ...config.writers.map((w) => w.gatewayId)];
  if (new Set(ids.map((id) => hex(id))).size !== ids.length) return 'two members share one identity';
  for (const key of keys) if (!isSafePublicKey(key)) return `unsafe public key ${hex(key)}`;
  return null;
}
