/**
 * What can change about a version without a new one (protocol 13.6): tags, access control, retention, legal
 * hold. They come with the version; once one of them is changed, a register of their own says what they are,
 * in whose clear part the storage nodes read the lock that they enforce.
 */
import { EMPTY, equal } from '../../base/bytes.ts';
import { isOperationError, OperationError } from '../../base/errors.ts';
import { AEAD_KEY_BYTES } from '../../crypto/primitives.ts';
import type { StoredAttributes } from '../../keyring/metadata.ts';
import { attributesKeyId, decodeAttributes, encodeAttributes } from '../../protocol/attributes.ts';
import type { Lock } from '../../protocol/attributes.ts';
import { sameStamp } from '../../protocol/stamp.ts';
import type { Stamp } from '../../protocol/stamp.ts';
import type { Bucket } from '../buckets/bucket-registry.ts';
import type { AttributesChange, ChangeAttributes, ChangeAttributesResult, Retention } from '../s3/port/objects.ts';
import { versionIdOf } from '../version-id.ts';
import { fingerprintOf } from '../operations.ts';
import type { StoreContext } from './context.ts';
import { toStoredAttributes, toAttributes } from './mapping.ts';
import { inBucket, markerOutcome, resolveVersion } from './versions.ts';
import type { ObjectVersion } from './versions.ts';
import { writeVersion } from './write-version.ts';

export interface HeldAttributes {
  readonly attributes: StoredAttributes;
  /** Of the manifest that says so; empty: they came with the version. */
  readonly hash: Uint8Array;
  /** The version was let go, and is about to be removed. */
  readonly isGone: boolean;
}

const TRIES_MAX = 8;

/** The register of a version's attributes; null: none was ever changed. */
async function readRegister(
  ctx: StoreContext,
  { keys }: Bucket,
  keyId: Uint8Array,
  stamp: Stamp,
): Promise<HeldAttributes | null> {
  const newest = await ctx.client.head(attributesKeyId(keyId, stamp));
  if (newest === null) return null;
  const { manifest, hash } = newest.signed;
  const meta = keys.openVersion(manifest)?.meta;
  if (meta?.t !== 'attributes' || !equal(meta.keyId, keyId) || !sameStamp(meta.stamp, stamp)) {
    throw new OperationError('DAMAGED', 'The attributes of the version do not open with the keys of its bucket.');
  }
  const clear = manifest.clear.length === 0 ? null : decodeAttributes(manifest.clear);
  return { attributes: meta.attributes, hash, isGone: clear?.ok === true && clear.value.gone };
}

/** Asks for the attributes of the version that the index believes to be meant, beside asking for the version. */
export class AttributesReader {
  readonly #ctx: StoreContext;
  readonly #bucket: Bucket;
  readonly #keyId: Uint8Array;
  readonly #guess: Promise<{ readonly stamp: Stamp; readonly held: HeldAttributes | null } | null>;

  constructor(ctx: StoreContext, bucket: Bucket, keyId: Uint8Array, stamp?: Stamp) {
    this.#ctx = ctx;
    this.#bucket = bucket;
    this.#keyId = keyId;
    this.#guess = this.#ask(stamp);
    // Whoever wants no attributes in the end does not hear of it.
    this.#guess.catch(() => undefined);
  }

  async of({ signed, meta }: ObjectVersion): Promise<HeldAttributes> {
    const { stamp } = signed.manifest;
    const guess = await this.#guess;
    const held =
      guess !== null && sameStamp(guess.stamp, stamp)
        ? guess.held
        : await readRegister(this.#ctx, this.#bucket, this.#keyId, stamp);
    return held ?? { attributes: meta.attributes, hash: EMPTY, isGone: false };
  }

  async #ask(named: Stamp | undefined): Promise<{ readonly stamp: Stamp; readonly held: HeldAttributes | null } | null> {
    const stamp = named ?? (await this.#ctx.barrier.key(this.#keyId))?.latest ?? null;
    return stamp === null ? null : { stamp, held: await readRegister(this.#ctx, this.#bucket, this.#keyId, stamp) };
  }
}

export function attributesOf(ctx: StoreContext, bucket: Bucket, version: ObjectVersion): Promise<HeldAttributes> {
  const { keyId, stamp } = version.signed.manifest;
  return new AttributesReader(ctx, bucket, keyId, stamp).of(version);
}

export function lockOf({ retention, legalHold }: StoredAttributes): Lock {
  return { lockMode: retention?.mode ?? 'NONE', retainUntil: retention?.untilMs ?? 0, legalHold };
}

/** Writes the register over exactly what was read. Throws LOCKED when the storage nodes forbid it. */
export async function writeRegister(
  ctx: StoreContext,
  bucket: Bucket,
  version: Pick<ObjectVersion, 'signed'>,
  base: Uint8Array,
  next: { readonly attributes: StoredAttributes; readonly isGone: boolean; readonly mayBypass: boolean; readonly opId: Uint8Array; readonly mark: Uint8Array | null },
): Promise<'committed' | 'declined' | 'unknown' | 'stale'> {
  const { keyId, stamp } = version.signed.manifest;
  const { keys } = bucket;
  const at = attributesKeyId(keyId, stamp);
  const dataKey = ctx.random.bytes(AEAD_KEY_BYTES);
  const { attributes, isGone, mayBypass, opId, mark } = next;
  const meta = { v: 1, t: 'attributes', keyId, stamp, attributes, mtimeMs: ctx.clock.nowMs(), operation: mark } as const;
  const encMeta = keys.sealMeta(ctx.random, at, dataKey, meta);
  const lock = isGone ? FREE : lockOf(attributes);
  const written = await writeVersion(ctx, bucket, {
    keyId: at,
    opId,
    needsCertified: true,
    clear: encodeAttributes({ v: 1, keyId, stamp, gone: isGone, ...lock }),
    decide: (predecessor) =>
      Promise.resolve(
        equal(predecessor?.hash ?? EMPTY, base) ? { removes: 'ALL', bypassGovernance: mayBypass } : 'decline',
      ),
    content: {
      kind: 'bytes',
      size: 0,
      body: nothing(),
      dataKey,
      wrappedKey: keys.wrap(ctx.random, at, dataKey),
      finish: () => Promise.resolve(encMeta),
    },
  });
  return written.kind;
}

const FREE: Lock = { lockMode: 'NONE', retainUntil: 0, legalHold: false };

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

/** Applied once, however often it is sent: a repetition must not undo what another change did since. */
export async function changeAttributes(ctx: StoreContext, request: ChangeAttributes): Promise<ChangeAttributesResult> {
  const operation = ctx.operations.begin(request.operation);
  const { change, versionId } = request;
  const fingerprint = fingerprintOf({ t: 'attributes', versionId: versionId ?? null, change: plainOf(change) });
  try {
    const earlier = await operation.settle(fingerprint);
    if (earlier.kind === 'unknown') return { outcome: 'unknown' };
    if (earlier.kind === 'done') return { outcome: 'changed', versionId: versionId ?? (earlier.row.versionId || undefined) };
    return await applyChange(ctx, request, operation.mark(fingerprint));
  } finally {
    operation.end();
  }
}

/** A change as a value that is encoded in one way. */
function plainOf(change: AttributesChange): unknown {
  return Object.fromEntries(Object.entries(change).map(([name, value]) => [name, value ?? null]));
}

async function applyChange(
  ctx: StoreContext,
  request: ChangeAttributes,
  mark: Uint8Array | null,
): Promise<ChangeAttributesResult> {
  const { change, operation } = request;
  for (let tried = 0; tried < TRIES_MAX; tried += 1) {
    const result = await inBucket(ctx, request, async (bucket): Promise<ChangeAttributesResult | 'again' | null> => {
      const version = await resolveVersion(ctx, bucket, request.key, request.versionId);
      if (version === null) return null;
      if (version.kind === 'marker') return markerOutcome(version);
      const isLock = change.kind === 'retention' || change.kind === 'legalHold';
      if (isLock && !bucket.record.lock) return { outcome: 'lock-disabled' };
      const held = await attributesOf(ctx, bucket, version);
      if (held.isGone) return null;
      const mayBypass = change.kind === 'retention' && change.bypassGovernance;
      const before = toAttributes(held.attributes).retention;
      if (change.kind === 'retention' && isWeaker(before, change.retention, mayBypass, ctx.clock.nowMs())) {
        return { outcome: 'locked' };
      }
      const attributes = changed(held.attributes, change);
      const next = { attributes, isGone: false, mayBypass, opId: operation.id, mark };
      try {
        const written = await writeRegister(ctx, bucket, version, held.hash, next);
        if (written === 'unknown') return { outcome: 'unknown' };
        if (written !== 'committed') return 'again';
      } catch (error) {
        if (isOperationError(error, 'LOCKED')) return { outcome: 'locked' };
        throw error;
      }
      return { outcome: 'changed', versionId: versionIdOf(version.meta.kept, version.signed.manifest.stamp) };
    });
    if (result !== 'again') return result;
  }
  throw new OperationError('BUSY', 'The attributes of the version keep changing.', { retryable: true });
}

/** As nodes have it: longer at any time; shorter, or of another mode, GOVERNANCE only with leave and COMPLIANCE never. */
function isWeaker(before: Retention | undefined, next: Retention | undefined, mayBypass: boolean, nowMs: number): boolean {
  if (before === undefined || before.untilMs <= nowMs) return false;
  if (before.mode === 'GOVERNANCE' && mayBypass) return false;
  if (next === undefined || next.untilMs < before.untilMs) return true;
  return next.mode !== before.mode;
}

function changed(before: StoredAttributes, change: AttributesChange): StoredAttributes {
  const all = toAttributes(before);
  switch (change.kind) {
    case 'tags':
      return { ...before, tags: change.tags };
    case 'accessControl':
      return toStoredAttributes({ ...all, accessControl: change.accessControl });
    case 'retention':
      return toStoredAttributes({ ...all, retention: change.retention });
    case 'legalHold':
      return { ...before, legalHold: change.legalHold };
  }
}
