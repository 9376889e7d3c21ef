/**
 * Everything that a storage node's views say, as one value that two recoveries of the same journal must agree
 * on. Times and what merely waits for the disk are left out.
 */
import { fromMapKey, hex } from '../../src/base/bytes.ts';
import type { KeyView, Version } from '../../src/storage-node/register.ts';
import type { NodeState } from '../../src/storage-node/state.ts';

export function dumpState(state: NodeState, writers: readonly Uint8Array[]): unknown {
  const { log, places, register, contents } = state;
  const size = log.durableSize;
  return {
    records: state.recordCount,
    incarnation: state.incarnation,
    configHash: state.configHash === null ? null : hex(state.configHash),
    marks: [...state.marks],
    holes: [...state.holes].map(hexName).sort(),
    root: hex(log.root() ?? new Uint8Array(0)),
    leaves: (log.leafRange(0, size) ?? []).map((leaf, index) => ({ leaf: hex(leaf), at: places.get(index) })),
    keys: sorted([...register.versions()].map((key) => [
      hexName(key.keyId),
      {
        max: key.max === null ? null : dumpVersion(key.max),
        prepared: sorted(key.prepared.map((v) => [hex(v.hash), dumpVersion(v)])),
        never: key.never.map((s) => `${s.gen} ${s.counter} ${hex(s.writerId)}`).sort(),
        chain: key.chain === null ? null : dumpChain(key.chain),
      },
    ])),
    stages: sorted(state.stages.held().map(({ durable: _durable, ...stage }) => [hex(stage.stageId), { ...stage }])),
    endedStages: state.stages.ended().map(hex).sort(),
    superseded: sorted([...register.superseded()].map((s) => [hex(s.version.hash), { certified: s.certified, version: dumpVersion(s.version) }])),
    uncertified: writers.map((writer) => register.uncertifiedBytes(writer)),
    contents: sorted([...contents.all()].map((c) => [
      hex(c.id),
      {
        shape: c.shape,
        layout: c.layout,
        cells: hex(c.cells),
        blocks: hex(c.blocks),
        blockRoots: hex(c.blockRoots),
        boundBy: [...c.boundBy].map(hexName).sort(),
        isUnbound: c.unboundAtMs !== null,
      },
    ])),
    unbound: contents.unbound().map((c) => hex(c.id)).sort(),
    buckets: sorted([...state.bucketRecords].map(([id, held]) => [hexName(id), { ...held.record, bucketId: hexName(id), version: dumpVersion(held.version) }])),
    remembered: sorted([...state.remembered].map(([slot, r]) => [String(slot), { incarnation: r.incarnation, root: hex(r.proof.batch.root) }])),
    highest: sorted([...state.highestBySlot].map(([slot, h]) => [String(slot), { logIndex: h.logIndex, version: dumpVersion(h.version) }])),
    liveBytes: state.cells.liveBytes,
  };
}

function dumpChain({ kept, removed, floor, open }: NonNullable<KeyView['chain']>): unknown {
  return {
    kept: sorted(kept.map((v) => [hex(v.hash), dumpVersion(v)])),
    removed: sorted([...removed].map(([stamp, by]) => [stamp, hex(by.hash)])),
    floor,
    open,
  };
}

function dumpVersion(v: Version): unknown {
  const { durable: _durable, hash, keyId, bucketId, gatewayId, contentId, binds, stamp, ...rest } = v;
  return {
    ...rest,
    hash: hex(hash),
    keyId: hex(keyId),
    bucketId: hex(bucketId),
    gatewayId: hex(gatewayId),
    contentId: hex(contentId),
    binds: hex(binds),
    stamp: `${stamp.gen} ${stamp.counter} ${hex(stamp.writerId)}`,
  };
}

/** A map key as hex, with what follows the 32 bytes of an identity as it is. */
function hexName(name: string): string {
  return hex(fromMapKey(name.slice(0, 32))) + name.slice(32);
}

function sorted(entries: readonly (readonly [string, unknown])[]): readonly (readonly [string, unknown])[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
