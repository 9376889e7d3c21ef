/**
 * RESOLVE and ABORT (protocol 6.7): settling a write whose writer went away. Asked for a stamp, the node says
 * under signature what it accepted, or, if that is asked for, promises NEVER to accept anything there; enough such statements are a
 * licence to let the receipt go.
 */
import { equal } from '../base/bytes.ts';
import type { Frame } from '../base/ports.ts';
import { encodeEntry } from '../log/entry-types.ts';
import { encode } from '../protocol/encoding.ts';
import { encodeStampBody } from '../protocol/log-entries.ts';
import { signedManifestToWire } from '../protocol/manifest.ts';
import { decodeResolution } from '../protocol/messages.ts';
import type { RequestOf, ResolutionBody } from '../protocol/messages.ts';
import { mayBeCertified } from '../protocol/quorum.ts';
import { compareStamps, sameStamp } from '../protocol/stamp.ts';
import type { NodeContext } from './context.ts';
import { contentIds } from './state.ts';
import { Refused, reply } from './reply.ts';

export async function handleResolve(ctx: NodeContext, request: RequestOf<'RESOLVE'>): Promise<Frame> {
  const { register, contents } = ctx.state;
  const accepted = register.acceptedAt(request.keyId, request.stamp);
  if (accepted === undefined && !register.promisedNever(request.keyId, request.stamp)) {
    // At or below the highest certificate P6 refuses for ever; above it the promise must be written down.
    if (compareStamps(request.stamp, register.maxStamp(request.keyId)) > 0) {
      if (!request.promise) throw new Refused('NOT_HELD', 'nothing is accepted for this stamp');
      const leaf = encodeEntry('NEVER', encodeStampBody({ v: 1, keyId: request.keyId, stamp: request.stamp }));
      ctx.state.write({ r: 'NEVER', leaf });
    }
  }
  await ctx.state.queuedIsDurable();
  const resolution: ResolutionBody = {
    v: 1,
    keyId: request.keyId,
    stamp: request.stamp,
    slot: ctx.self.slot,
    epoch: ctx.cluster.epoch,
    prepared: accepted?.hash ?? null,
  };
  const body = encode(resolution);
  const proof = await ctx.signer.sign('resolution', body);
  return reply('RESOLVE', {
    resolution: { body, proof },
    manifest: accepted === undefined ? null : signedManifestToWire(await ctx.state.readManifest(accepted)),
    holds: accepted !== undefined && contentIds(accepted.binds).every((id) => contents.get(id) !== undefined),
  });
}

export async function handleAbort(ctx: NodeContext, request: RequestOf<'ABORT'>): Promise<Frame> {
  const answered = new Set<number>();
  let prepared = 0;
  for (const { body, proof } of request.resolutions) {
    const decoded = decodeResolution(body);
    if (!decoded.ok) throw new Refused('BAD', `resolution: ${decoded.reason}`);
    const statement = decoded.value;
    const slot = ctx.cluster.slotAt(statement.slot);
    if (
      slot === undefined ||
      statement.epoch !== ctx.cluster.epoch ||
      !equal(statement.keyId, request.keyId) ||
      !sameStamp(statement.stamp, request.stamp) ||
      !ctx.verifier.verify(slot.signingKey, 'resolution', body, proof)
    ) {
      throw new Refused('BAD', 'a resolution of the licence does not verify');
    }
    if (answered.has(statement.slot)) throw new Refused('BAD', 'two resolutions of one slot');
    answered.add(statement.slot);
    if (statement.prepared !== null) prepared += 1;
  }
  if (mayBeCertified(ctx.cluster.geometry, answered.size, prepared)) {
    throw new Refused('DENIED', 'the resolutions do not rule a certificate out');
  }
  const { register } = ctx.state;
  const accepted = register.acceptedAt(request.keyId, request.stamp);
  if (accepted !== undefined && accepted.committedIndex >= 0) {
    // A certificate exists although n-f signers are ruled out: more than f nodes are faulty.
    ctx.telemetry.count('invariant_violations', { invariant: 'I2' });
    throw new Refused('DENIED', 'a certificate is held for this stamp');
  }
  if (accepted !== undefined) {
    const leaf = encodeEntry('ABORT', encodeStampBody({ v: 1, keyId: request.keyId, stamp: request.stamp }));
    await ctx.state.write({ r: 'ABORT', leaf }).durable;
  }
  return reply('ABORT', {});
}
