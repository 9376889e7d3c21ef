/** Decoders of state roots: the signed root, a leaf, a proof, and a list of versions as its owner kept it. */
import { utf8 } from '../../../src/base/bytes.ts';
import { encodeBucketLeaf, decodeBucketLeaf, encodeBucketProof, formatListLine, openBucketProof, openBucketRoot, parseListLine } from '../../../src/gateway/history/bucket-root.ts';
import type { BucketLeaf } from '../../../src/gateway/history/bucket-root.ts';
import { logOrigin, signCheckpoint } from '../../../src/log/checkpoint.ts';
import { ed25519Signer } from '../../../src/log/signed-note.ts';
import { leafHash } from '../../../src/merkle/tree.ts';
import { encode } from '../../../src/protocol/encoding.ts';
import { prove } from '../../../src/sim/adversaries/stage.ts';
import { decoder, holds, sameBytes } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { CLUSTER, id, NODE_KEYS, stampAt, WRITER } from '../valid.ts';

const leaf: BucketLeaf = { v: 1, key: 'papers/a', stamp: stampAt(3), manifestHash: id('manifest'), marker: false, size: 7, etag: 'tag', mtimeMs: 9, kept: 'ENABLED' };
const leafBytes = encodeBucketLeaf(leaf);
const logs = CLUSTER.slots.flatMap(({ slot, nodeId }) => {
  const key = NODE_KEYS[slot]?.signing;
  if (key === undefined) return [];
  const origin = logOrigin(CLUSTER.id, nodeId);
  return [{ slot, note: signCheckpoint({ origin, size: 5, root: id('log'), nonce: null }, ed25519Signer(origin, key)).note }];
});
const named = { clusterId: CLUSTER.id, epoch: 1, gatewayId: WRITER.gatewayId, bucket: 'papers', bucketId: id('bucket'), gen: 1 };
const body = encode({ v: 1, ...named, madeMs: 7, untilMs: null, count: 1, bytes: 7, root: leafHash(leafBytes), logs });
const root = encode({ body, proof: prove(CLUSTER, WRITER.signingKey, 'bucket-root', body) });
const proof = encodeBucketProof({ v: 1, root, leaf: leafBytes, index: 0, path: [] });

const at = 'src/gateway/history/bucket-root.ts';
const cbor = { form: 'cbor' } as const;

export const historyTargets: readonly Target[] = [
  decoder({
    name: 'bucket-root',
    covers: [`${at} openBucketRoot`],
    format: cbor,
    seeds: () => [root],
    accepts: (input) => {
      const opened = openBucketRoot(CLUSTER, input);
      // The gateway signed one root.
      if (opened.ok) sameBytes(encode(opened.value.root), body);
      return opened.ok;
    },
    inputs: 150,
  }),
  decoder({
    name: 'bucket-proof',
    covers: [`${at} openBucketProof`],
    format: cbor,
    seeds: () => [proof],
    accepts: (input) => {
      const opened = openBucketProof(CLUSTER, input);
      if (opened.ok) sameBytes(encodeBucketLeaf(opened.value.leaf), leafBytes);
      return opened.ok;
    },
    inputs: 150,
  }),
  decoder({
    name: 'bucket-leaf',
    covers: [`${at} decodeBucketLeaf`],
    format: cbor,
    seeds: () => [leafBytes],
    accepts: (input) => {
      const decoded = decodeBucketLeaf(input);
      if (decoded.ok) sameBytes(encodeBucketLeaf(decoded.value), input);
      return decoded.ok;
    },
  }),
  decoder({
    name: 'bucket-list-line',
    covers: [`${at} parseListLine`],
    format: { form: 'bytes' },
    seeds: () => [utf8(formatListLine(leaf))],
    accepts: (input) => {
      const parsed = parseListLine(Buffer.from(input).toString('utf8'));
      if (parsed === null) return false;
      const again = parseListLine(formatListLine(parsed));
      holds(again !== null, 'a version of a list is written as one');
      if (again !== null) sameBytes(encodeBucketLeaf(again), encodeBucketLeaf(parsed));
      return true;
    },
  }),
];
