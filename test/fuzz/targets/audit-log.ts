/** Decoders of a gateway's audit log: an entry, a segment of its file, an anchor and a proof of one entry. */
import { concat, u32be, utf8 } from '../../../src/base/bytes.ts';
import { isOperationError } from '../../../src/base/errors.ts';
import { sha256 } from '../../../src/crypto/primitives.ts';
import { decodeAuditEntry, encodeAuditEntry } from '../../../src/gateway/audit-log/entry.ts';
import type { AuditEntry } from '../../../src/gateway/audit-log/entry.ts';
import { encodeAuditProof, judgeAuditProof } from '../../../src/gateway/audit-log/proof.ts';
import { parseSegment } from '../../../src/gateway/audit-log/segments.ts';
import { auditOrigin, openAnchor } from '../../../src/log/anchor.ts';
import { signCheckpoint } from '../../../src/log/checkpoint.ts';
import { ed25519Signer } from '../../../src/log/signed-note.ts';
import { Frontier, leafHash } from '../../../src/merkle/tree.ts';
import { encode } from '../../../src/protocol/encoding.ts';
import { decoder, holds, sameBytes } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { CLUSTER, id, WRITER } from '../valid.ts';

const named = { requestId: 'R', operation: 'PutObject', bucket: 'photos', accessKeyId: 'AKIA', versionId: 'v', network: '203.0.113.0/24' };
const entries: readonly AuditEntry[] = [
  { v: 1, t: 'request', atMs: 7, keyHash: id('key'), status: 200, code: null, bytes: 9, ...named },
  { v: 1, t: 'admin', atMs: 7, action: 'access-create', subject: 'AKIA' },
  { v: 1, t: 'start', atMs: 7, version: '0.1.0' },
  { v: 1, t: 'gap', atMs: 7, lost: 3 },
];
const bytesOf = entries.map(encodeAuditEntry);

function frame(content: Uint8Array, batch: number): Uint8Array {
  const head = concat(u32be(content.length), u32be(batch));
  return concat(head, sha256(head, content).subarray(0, 8), content);
}

const segment = concat(
  utf8('holdfast audit 1\n'),
  frame(encode({ v: 1, frontier: new Frontier().serialise() }), 0),
  ...bytesOf.map((bytes, i) => frame(bytes, i + 1)),
);
const [first = new Uint8Array(0)] = bytesOf;
const origin = auditOrigin(CLUSTER.id, WRITER.gatewayId);
const { note } = signCheckpoint({ origin, size: 1, root: leafHash(first), nonce: null }, ed25519Signer(origin, WRITER.signingKey));
const proof = encodeAuditProof({ v: 1, type: 'audit entry', index: 0, entry: first, path: [], note });

export const auditLogTargets: readonly Target[] = [
  decoder({
    name: 'audit-entry',
    covers: ['src/gateway/audit-log/entry.ts decodeAuditEntry'],
    format: { form: 'cbor' },
    seeds: () => bytesOf,
    accepts: (input) => {
      const decoded = decodeAuditEntry(input);
      if (decoded.ok) sameBytes(encodeAuditEntry(decoded.value), input);
      return decoded.ok;
    },
  }),
  decoder({
    name: 'audit-segment',
    covers: ['src/gateway/audit-log/segments.ts parseSegment', 'src/gateway/audit-log/segments.ts readSegment'],
    format: { form: 'bytes' },
    seeds: () => [segment],
    accepts: (input) => {
      try {
        const parsed = parseSegment(input, 0, 'segment');
        holds(parsed.end + parsed.torn === input.length, 'every byte is an entry or cut off');
        return parsed.entries.length > 0;
      } catch (error) {
        if (isOperationError(error, 'CORRUPT')) return false;
        throw error;
      }
    },
  }),
  decoder({
    name: 'anchor',
    covers: ['src/log/anchor.ts openAnchor'],
    format: { form: 'bytes' },
    seeds: () => [utf8(note)],
    accepts: (input) => {
      const opened = openAnchor(CLUSTER, new TextDecoder().decode(input));
      if (opened.ok) holds(opened.signed.checkpoint.size === 1, 'the gateway signed one checkpoint');
      return opened.ok;
    },
    inputs: 150,
  }),
  decoder({
    name: 'audit-proof',
    covers: [],
    format: { form: 'cbor' },
    seeds: () => [proof],
    accepts: (input) => {
      const verdict = judgeAuditProof(CLUSTER, input);
      if (verdict.ok) sameBytes(encodeAuditEntry(verdict.entry), first);
      return verdict.ok;
    },
    inputs: 150,
  }),
];
