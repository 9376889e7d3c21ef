/**
 * The predicates P1 to P11 by which a node judges PREPARE (protocol 5), one function each, pure: the
 * storage node, the models and the mutants all use these. Each returns the refusal, or null to go on. They
 * are run in order, because a refusal must show the newest thing the node knows. P5 (the content is here and
 * is what the manifest commits to) needs the bytes: it stands in storage-node/prepare-content.ts.
 */
import { equal } from '../base/bytes.ts';
import { attributesKeyId, decodeAttributes } from './attributes.ts';
import type { BucketRecord } from './bucket-record.ts';
import { decodeBucketRecord, SYSTEM_BUCKET_ID, transitionFault } from './bucket-record.ts';
import type { Cluster, WriterConfig } from './configuration.ts';
import type { Manifest, SignedManifest } from './manifest.ts';
import { compareBallots } from './slot.ts';
import type { Ballot } from './slot.ts';
import { compareStamps, COUNTER_STEP_MAX, sameStamp, ZERO_STAMP } from './stamp.ts';
import type { Stamp } from './stamp.ts';

/** Why a node refuses. What it shows with the refusal depends on the code. */
export type RefusalCode =
  | 'BAD'
  | 'CONFIG_STALE'
  | 'DENIED'
  | 'SUPERSEDED'
  | 'COUNTER'
  | 'EQUIVOCATION'
  | 'BUSY'
  | 'BUCKET_UNKNOWN'
  | 'BUCKET_STALE'
  | 'CONFLICT'
  | 'PREDECESSOR'
  | 'BALLOT'
  | 'LOCKED'
  | 'NOT_HELD'
  | 'HOLE'
  | 'FULL'
  | 'LOST'
  | 'REVOKED';

export interface Refusal {
  readonly code: RefusalCode;
  readonly reason: string;
}

/** What a node knows when it judges a PREPARE. */
export interface PrepareView {
  readonly cluster: Cluster;
  /** The writer that the channel authenticated, if it is one. */
  readonly sender: WriterConfig | undefined;
  /** Does the manifest's signature verify? */
  readonly signatureValid: boolean;
  /** Stamp of the highest certificate held for the key (zero: none), after any that came along was taken in. */
  readonly maxStamp: Stamp;
  /** Hash of the manifest already accepted for this (keyId, stamp), or that this node promised NEVER to accept. */
  readonly acceptedHash: Uint8Array | undefined;
  readonly promisedNever: boolean;
  /** The bucket's record as this node holds it, with its stamp. */
  readonly record: { readonly record: BucketRecord; readonly stamp: Stamp } | undefined;
  /** Of the key's highest version, and for attributes also of the version that they are about: where it stands. */
  readonly homes: readonly { readonly bucketId: Uint8Array; readonly stamp: Stamp }[];
  /** Bytes this writer holds uncertified on this node, this manifest's included. */
  readonly uncertifiedBytes: number;
  /** Of a SLOT manifest, what the node knows of its slot; null for PLAIN. */
  readonly slot: SlotView | null;
  /** Is the writer of this gatewayId revoked? */
  readonly isRevoked: (gatewayId: Uint8Array) => boolean;
}

/** What a node knows of the slot that a manifest is proposed for. */
export interface SlotView {
  /** Who proposes, in which ballot; null: no valid proposal of this manifest came with it. */
  readonly proposer: { readonly writer: WriterConfig; readonly ballot: Ballot } | null;
  /** The writer that the manifest names. */
  readonly author: WriterConfig | undefined;
  /** Hash of the newest version, NO_VERSION: none. */
  readonly newest: Uint8Array;
  /** The highest ballot promised in the slot. */
  readonly promised: Ballot;
  /** The manifest accepted in exactly the proposal's ballot, if any. */
  readonly acceptedInBallot: Uint8Array | undefined;
  /** Why the content is not known to be durable, or null. */
  readonly stageFault: string | null;
  /** Does this node hold what it staged, or has it nothing to hold? */
  readonly holdsStage: boolean;
  /** The stage's owner was promised that nothing rests on it any more. */
  readonly isUnstaged: boolean;
  /** Would it bury attributes under something else? */
  readonly endsAttributes: boolean;
  /** Why object lock forbids it, or null. */
  readonly lockFault: string | null;
}

type Predicate = (signed: SignedManifest, view: PrepareView) => Refusal | null;

const refuse = (code: RefusalCode, reason: string): Refusal => ({ code, reason });

/** P1: the channel's identity owns the manifest's writer session, and the manifest is signed by it. */
export const p1SenderOwnsWriter: Predicate = ({ manifest }, { sender, signatureValid, slot }) => {
  if (slot !== null) return p1OfProposal(sender, signatureValid, slot);
  if (sender === undefined || !equal(sender.gatewayId, manifest.gatewayId)) {
    return refuse('BAD', 'P1: the sender does not own the writer session');
  }
  return signatureValid ? null : refuse('BAD', 'P1: the manifest signature does not verify');
};

/** In a slot the sender owns the proposal; the manifest may be another writer's, which the sender completes. */
function p1OfProposal(sender: WriterConfig | undefined, signatureValid: boolean, { proposer }: SlotView): Refusal | null {
  if (sender === undefined || proposer === null || !equal(sender.gatewayId, proposer.writer.gatewayId)) {
    return refuse('BAD', 'P1: the sender does not own the proposal');
  }
  return signatureValid ? null : refuse('BAD', 'P1: the manifest signature does not verify');
}

/** P2: one epoch at a time. */
export const p2Epoch: Predicate = ({ manifest }, { cluster }) =>
  manifest.epoch === cluster.epoch ? null : refuse('CONFIG_STALE', `P2: epoch ${manifest.epoch}, not ${cluster.epoch}`);

/** P3: the writer is authorised, the suite not below the minimum. */
export const p3Authority: Predicate = ({ manifest }, { cluster, sender, slot }) => {
  const writers = slot === null ? [sender] : [sender, slot.author];
  for (const writer of writers) if (writer?.capabilities.includes('write') !== true) return refuse('DENIED', 'P3: not a writer');
  if (manifest.suite < cluster.config.suiteMin) return refuse('DENIED', 'P3: suite below the minimum');
  if (manifest.suite > cluster.config.suiteMin) return refuse('DENIED', 'P3: suite unknown to this configuration');
  if (isSystem(manifest) && sender?.capabilities.includes('buckets') !== true) {
    return refuse('DENIED', 'P3: the writer may not change buckets');
  }
  return null;
};

function isSystem(manifest: Manifest): boolean {
  return equal(manifest.bucketId, SYSTEM_BUCKET_ID);
}

/** 13.2: the manifest acts under the bucket record that this node holds, which is open; a record's own transition is allowed. */
export const bucketRule: Predicate = ({ manifest }, { record }) => {
  if (isSystem(manifest)) return systemRule(manifest, record?.record);
  const clear = clearRule(manifest);
  if (clear !== null) return clear;
  if (record === undefined || compareStamps(record.stamp, manifest.bucketStamp) < 0) {
    return refuse('BUCKET_UNKNOWN', '13.2: this node lacks the bucket record');
  }
  if (compareStamps(record.stamp, manifest.bucketStamp) > 0) {
    return refuse('BUCKET_STALE', '13.2: the bucket record has changed');
  }
  if (record.record.state !== 'OPEN') return refuse('BUCKET_STALE', `13.2: the bucket is ${record.record.state}`);
  return modeRule(manifest, record.record);
};

/**
 * 13.2: a key stays in its bucket and in its generation. Nothing else asks for more, as keys are derived from
 * both; and what object lock keeps could be ended from a bucket without it.
 */
export const keyRule: Predicate = ({ manifest: { bucketId, stamp } }, { homes }) =>
  homes.every((home) => equal(home.bucketId, bucketId) && home.stamp.gen === stamp.gen)
    ? null
    : refuse('DENIED', '13.2: the key is one of another bucket or generation');

/** 13.6: beside bucket records only the attributes of a version have a clear part, and stand where it says. */
function clearRule({ clear, kind, slot, keyId }: Manifest): Refusal | null {
  if (clear.length === 0) return null;
  if (slot === null || kind !== 'INLINE') return refuse('BAD', '13.6: attributes are INLINE, in a serialised bucket');
  const decoded = decodeAttributes(clear);
  if (!decoded.ok) return refuse('BAD', `13.6: attributes: ${decoded.reason}`);
  const { value } = decoded;
  if (equal(keyId, attributesKeyId(value.keyId, value.stamp))) return null;
  return refuse('BAD', '13.6: attributes stand where their version says');
}

/** 13.7: a bucket is written in its mode, and a version ends others as the bucket keeps them. */
function modeRule({ slot, clear }: Manifest, { mode, versioning }: BucketRecord): Refusal | null {
  if ((mode === 'SERIALISED') !== (slot !== null)) return refuse('BAD', `13.7: the bucket is ${mode}`);
  // Attributes replace the ones before, whatever the bucket keeps.
  if (slot === null || clear.length > 0 || (slot.removes === 'ALL') === (versioning === 'NEVER')) return null;
  return refuse('BAD', `13.6: versions are ${versioning === 'NEVER' ? 'not kept' : 'kept'} in this bucket`);
}

function systemRule(manifest: Manifest, previous: BucketRecord | undefined): Refusal | null {
  if (manifest.kind !== 'INLINE' || manifest.slot !== null) return refuse('BAD', '13.2: a bucket record is INLINE and PLAIN');
  if (!sameStamp(manifest.bucketStamp, ZERO_STAMP)) return refuse('BAD', '13.2: the reserved bucket has no record');
  const decoded = decodeBucketRecord(manifest.clear);
  if (!decoded.ok) return refuse('BAD', `13.2: bucket record: ${decoded.reason}`);
  if (!equal(decoded.value.bucketId, manifest.keyId) || equal(manifest.keyId, SYSTEM_BUCKET_ID)) {
    return refuse('BAD', '13.2: a bucket record stands under its own identifier');
  }
  const fault = transitionFault(previous, decoded.value);
  return fault === null ? null : refuse('DENIED', `13.2: ${fault}`);
}

/** P4: geometry allowed by the bucket and the configuration. */
export const p4Geometry: Predicate = ({ manifest }, { cluster, record }) => {
  const { n, f } = cluster.geometry;
  if (manifest.n !== n) return refuse('BAD', `P4: n = ${manifest.n}, not ${n}`);
  if (manifest.kind !== 'DATA' && manifest.kind !== 'TABLE') return null;
  if (manifest.k > n - 2 * f || manifest.k < f + 1) return refuse('BAD', `P4: k = ${manifest.k} not within f+1 and n-2f`);
  if (record !== undefined && !record.record.geometries.includes(manifest.k)) {
    return refuse('BAD', `P4: the bucket does not allow k = ${manifest.k}`);
  }
  return null;
};

/** P6: above every certificate held. The floor rule: what was once superseded is never signed again (trap H5). */
export const p6AboveMax: Predicate = ({ manifest }, { maxStamp }) =>
  compareStamps(manifest.stamp, maxStamp) > 0 ? null : refuse('SUPERSEDED', 'P6: not above the highest certificate');

/** P7: the bucket's generation, and a counter within D of a certified one (trap H6). */
export const p7Counter: Predicate = ({ manifest }, { maxStamp, record }) => {
  const gen = isSystem(manifest) ? 1 : record?.record.gen;
  if (manifest.stamp.gen !== gen) return refuse('BAD', `P7: generation ${manifest.stamp.gen}, not ${gen}`);
  const from = maxStamp.gen === manifest.stamp.gen ? maxStamp.counter : 0;
  return manifest.stamp.counter <= from + COUNTER_STEP_MAX
    ? null
    : refuse('COUNTER', `P7: counter ${manifest.stamp.counter} is more than ${COUNTER_STEP_MAX} above ${from}`);
};

/** P8: one manifest per (keyId, stamp), and none where NEVER was promised. */
export const p8OneManifest: Predicate = ({ hash }, { acceptedHash, promisedNever }) => {
  if (acceptedHash !== undefined && !equal(acceptedHash, hash)) {
    return refuse('EQUIVOCATION', 'P8: another manifest holds this stamp');
  }
  return promisedNever ? refuse('CONFLICT', 'P8: this node promised never to accept this stamp') : null;
};

/** P9: the writer's uncertified bytes stay within its quota. */
export const p9Quota: Predicate = (_signed, { cluster, uncertifiedBytes }) =>
  uncertifiedBytes <= cluster.config.uncertifiedBytesMax
    ? null
    : refuse('BUSY', `P9: ${uncertifiedBytes} uncertified bytes exceed the quota`);

function locks({ slot, clear }: Manifest): boolean {
  const attributes = slot === null || clear.length === 0 ? null : decodeAttributes(clear);
  return attributes?.ok === true && (attributes.value.retainUntil !== 0 || attributes.value.legalHold);
}

/** P10: retention within the policy; nothing that is locked is removed. Buckets without object lock take none. */
export const p10Retention: Predicate = ({ manifest }, { record, slot }) => {
  const isLocking = manifest.retainUntil !== 0 || manifest.slot?.legalHold === true || locks(manifest);
  if (isLocking && record?.record.lock !== true) return refuse('DENIED', 'P10: the bucket has no object lock');
  const fault = slot?.lockFault ?? null;
  return fault === null ? null : refuse('LOCKED', `P10: ${fault}`);
};

/**
 * P11: the slot protocol (6.4). The manifest follows the newest version; its ballot is not below the promised
 * one, and is the only one accepted in it; its content is known to be durable.
 */
export const p11Slot: Predicate = ({ manifest, hash }, { slot }) => {
  if (slot === null || manifest.slot === null || slot.proposer === null) return null;
  if (!equal(manifest.slot.prev, slot.newest)) return refuse('PREDECESSOR', 'P11: it follows another version than the newest');
  if (compareBallots(slot.proposer.ballot, slot.promised) < 0) return refuse('BALLOT', 'P11: a higher ballot is promised');
  if (slot.endsAttributes) return refuse('BAD', '13.6: attributes are followed by attributes');
  if (slot.acceptedInBallot !== undefined && !equal(slot.acceptedInBallot, hash)) {
    return refuse('EQUIVOCATION', 'P11: another manifest was accepted in this ballot');
  }
  if (slot.stageFault !== null) return refuse('BAD', `P5: ${slot.stageFault}`);
  if (slot.isUnstaged) return refuse('CONFLICT', 'P5: nothing may rest on this stage any more');
  return slot.holdsStage ? null : refuse('NOT_HELD', 'P5: the staged content is not held');
};

/**
 * P12: nothing new of a revoked writer, whoever proposes it: a good writer that completes what a liar shows it would
 * otherwise do the thief's work. What this node accepted before binds it as ever.
 */
export const p12NotRevoked: Predicate = ({ manifest, hash }, { sender, acceptedHash, isRevoked }) => {
  const isAccepted = acceptedHash !== undefined && equal(acceptedHash, hash);
  const isAuthorRevoked = isRevoked(manifest.gatewayId) && !isAccepted;
  if (!isAuthorRevoked && (sender === undefined || !isRevoked(sender.gatewayId))) return null;
  return refuse('REVOKED', 'P12: the writer is revoked');
};

/** In the order in which a node applies them. */
export const PREPARE_PREDICATES: readonly Predicate[] = [
  p2Epoch,
  p1SenderOwnsWriter,
  p3Authority,
  p12NotRevoked,
  bucketRule,
  keyRule,
  p4Geometry,
  p6AboveMax,
  p7Counter,
  p8OneManifest,
  p11Slot,
  p9Quota,
  p10Retention,
];

/** Null iff the node may sign a receipt, else the first refusal. */
export function judgePrepare(signed: SignedManifest, view: PrepareView): Refusal | null {
  for (const predicate of PREPARE_PREDICATES) {
    const refusal = predicate(signed, view);
    if (refusal !== null) return refusal;
  }
  return null;
}
