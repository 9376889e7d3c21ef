import { describe, expect, it } from 'vitest';
import { EMPTY, utf8 } from '../base/bytes.ts';
import type { Clock, Frame } from '../base/ports.ts';
import { sha256, signingKeyFromSeed } from '../crypto/primitives.ts';
import { Cluster } from '../protocol/configuration.ts';
import type { Configuration } from '../protocol/configuration.ts';
import { encodeReplies, replyStatement } from '../protocol/messages.ts';
import { signBatch, statementLeaf } from '../protocol/statement.ts';
import { OwedReplies } from './owed-replies.ts';

const node = signingKeyFromSeed(sha256(utf8('node')));
const other = signingKeyFromSeed(sha256(utf8('other')));
const clusterId = sha256(utf8('cluster'));
const nodeId = sha256(node.publicKey);
const slots = [{ slot: 0, nodeId, signingKey: node.publicKey, tlsKey: other.publicKey, addresses: ['a:1'], domain: 'd' }];
const cluster = new Cluster(
  { clusterId, epoch: 1, slots, writers: [] } as unknown as Configuration,
  EMPTY,
  EMPTY,
  { n: 4, f: 1, k: 2 },
);

function setUp() {
  const told: string[] = [];
  let nowMs = 0;
  const clock = { monotonicMs: () => nowMs } as Clock;
  const owed = new OwedReplies(cluster, clock, (_slot, detail) => told.push(detail));
  return { owed, told, advance: (ms: number) => (nowMs += ms) };
}

const request = utf8('request');
const answers = ['one', 'two', 'three'].map(utf8);

function notice(signed: readonly Uint8Array[], key = node): Frame {
  const leaves = signed.map((answer) => statementLeaf('reply', clusterId, replyStatement(nodeId, 1, request, answer)));
  const [first] = signBatch(key, clusterId, leaves);
  if (first === undefined) throw new Error('nothing to sign');
  return { body: encodeReplies({ t: 'REPLIES', leaves, batch: first.batch }), payload: EMPTY };
}

describe('the signature that a node owes for its answers', () => {
  it('settles what was answered, whichever comes first', () => {
    const { owed, told } = setUp();
    for (const answer of answers.slice(0, 2)) owed.answered(0, 1, request, answer);
    owed.noticed(0, 1, notice(answers));
    expect(owed.outstanding(0)).toBe(0);
    owed.answered(0, 1, request, answers[2] ?? EMPTY);
    expect(owed.outstanding(0)).toBe(0);
    expect(told).toEqual([]);
  });

  it('is missed when it does not come in time', () => {
    const { owed, told, advance } = setUp();
    owed.answered(0, 1, request, answers[0] ?? EMPTY);
    advance(10_001);
    owed.answered(0, 1, request, answers[1] ?? EMPTY);
    expect(told).toEqual([expect.stringContaining('not signed')]);
  });

  it('does not count when another key made it, or when it covers another answer', () => {
    const { owed, told } = setUp();
    owed.answered(0, 1, request, answers[0] ?? EMPTY);
    owed.noticed(0, 1, notice(answers, other));
    expect(told).toEqual([expect.stringContaining('does not verify')]);
    owed.noticed(0, 1, notice([utf8('what it wishes it had said')]));
    expect(owed.outstanding(0)).toBe(1);
  });

  it('is not asked for across connections', () => {
    const { owed, told, advance } = setUp();
    owed.answered(0, 1, request, answers[0] ?? EMPTY);
    advance(20_000);
    owed.answered(0, 2, request, answers[1] ?? EMPTY);
    expect(owed.outstanding(0)).toBe(1);
    expect(told).toEqual([]);
  });
});
