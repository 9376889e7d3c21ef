/**
 * A Byzantine storage node as a real process: it runs the product's own node in a real folder, with the
 * folder's keys, over the same TLS, and lies in what it answers. It is no part of the product; the demo and
 * the cluster tests start it in the place of a correct node.
 *
 *   node lying-node.js STRATEGY --dir FOLDER --config FILE
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import type { Frame, FrameHandler } from '../../src/base/ports.ts';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import { runNode } from '../../src/cli/node-run.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { decodeAnswer, decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import { liars } from '../../src/sim/adversaries/liars.ts';

const HASH_BYTES = 32;

/**
 * Another cell of the right length, in a row that was changed to match it: what a reader sees fits together
 * in every way but one, the signed manifest does not commit to it.
 */
function withOtherCell(answered: Frame, type: 'FETCH' | 'QUERY'): Frame {
  const parsed = decodeAnswer(type, answered.body);
  if (parsed.kind !== 'answer' || answered.payload.length === 0) return answered;
  const cell = Uint8Array.from(answered.payload, (byte, index) => byte ^ (index % 251));
  const { row: honest } = parsed.answer;
  if (honest === null) return { body: answered.body, payload: cell };
  const own = ownColumn(honest, answered.payload);
  const row = Uint8Array.from(honest);
  row.set(sha256(cell), own * HASH_BYTES);
  return { body: encodeAnswer(type, { ...parsed.answer, row } as typeof parsed.answer), payload: cell };
}

function ownColumn(row: Uint8Array, cell: Uint8Array): number {
  const hash = Buffer.from(sha256(cell));
  for (let slot = 0; slot < row.length / HASH_BYTES; slot += 1) {
    if (hash.equals(row.subarray(slot * HASH_BYTES, (slot + 1) * HASH_BYTES))) return slot;
  }
  return 0;
}

const strategies: Readonly<Record<string, (handler: FrameHandler) => FrameHandler>> = {
  otherCell: (honest) => async (from, frame) => {
    const answered = await honest(from, frame);
    const request = decodeRequest(frame.body);
    if (!request.ok) return answered;
    const { t } = request.value;
    if (t === 'FETCH' || t === 'QUERY') return withOtherCell(answered, t);
    if (t !== 'BODY' || answered.payload.length === 0) return answered;
    return { body: answered.body, payload: Uint8Array.from(answered.payload, (byte) => byte ^ 0x55) };
  },
  forgetful: (honest) => (from, frame) => liars.forgetful((asked) => honest(from, asked), frame, from),
  denier: (honest) => (from, frame) => liars.denier((asked) => honest(from, asked), frame),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string' }, config: { type: 'string' } },
});
const strategy = strategies[positionals[0] ?? ''];
if (strategy === undefined || values.dir === undefined) {
  process.stderr.write(`lying-node: name a strategy (${Object.keys(strategies).join(', ')}) and --dir\n`);
  process.exit(2);
}
const atWork = setInterval(() => undefined, 2 ** 30);
try {
  await runNode({ dir: values.dir, config: values.config, listen: undefined }, strategy);
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
clearInterval(atWork);
process.exit();
