/**
 * A Byzantine storage node as a real process: it runs the product's own node in a real folder, with the
 * folder's keys, over the same TLS, and lies in what it answers, as the strategies of the simulator do. It is
 * no part of the product; the demos and the cluster tests start it in the place of a correct node.
 *
 *   node lying-node.js STRATEGY --dir FOLDER --config FILE
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import type { Frame, FrameHandler } from '../../src/base/ports.ts';
import { readDocument } from '../../src/cli/bound-cluster.ts';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import { readNodeIdentity } from '../../src/cli/identity-folder.ts';
import { runNode } from '../../src/cli/node-run.ts';
import { openConfiguration } from '../../src/cli/root-configuration.ts';
import { systemClock } from '../../src/cli/system-ports.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { NodeDisk } from '../../src/platform/disk.ts';
import { decodeAnswer, decodeRequest, encodeAnswer } from '../../src/protocol/messages.ts';
import { answersAuditsWrongly } from '../../src/sim/adversaries/signed-lies.ts';
import type { Interceptor, Stage } from '../../src/sim/adversaries/stage.ts';
import { strategyNames, strategyOf } from '../../src/sim/adversaries/strategies.ts';

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

/** Serves another cell in every answer that carries one. */
const otherCell: Interceptor = async (honest, frame) => {
  const answered = await honest(frame);
  const request = decodeRequest(frame.body);
  if (!request.ok) return answered;
  const { t } = request.value;
  if (t === 'FETCH' || t === 'QUERY') return withOtherCell(answered, t);
  if (t !== 'BODY' || answered.payload.length === 0) return answered;
  return { body: answered.body, payload: Uint8Array.from(answered.payload, (byte) => byte ^ 0x55) };
};

/** Beside those of the simulator, in which nobody audits. */
const OWN: Readonly<Record<string, (stage: Stage, slot: number) => Interceptor>> = { otherCell: () => otherCell, 'wrong-audits': answersAuditsWrongly };

/** The node of the folder as an adversary of the simulator: what it knows, and what it signs with. */
async function lying(name: string, dir: string, config: string): Promise<(handler: FrameHandler) => FrameHandler> {
  const { id, signingKey } = await readNodeIdentity(new NodeDisk(dir));
  const cluster = openConfiguration(await readDocument(config), config);
  const stage: Stage = { cluster, clock: systemClock, nodeKey: () => signingKey };
  const intercept = (OWN[name] ?? strategyOf(name))?.(stage, cluster.slotOfNode(id)?.slot ?? -1);
  if (intercept === undefined) throw new Error(`no strategy ${name}`);
  return (honest) => (from, frame) => intercept((asked) => honest(from, asked), frame, from);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string' }, config: { type: 'string' } },
});
const [name = ''] = positionals;
const { dir, config } = values;
if ((OWN[name] ?? strategyOf(name)) === undefined || dir === undefined || config === undefined) {
  process.stderr.write(`lying-node: name a strategy (${[...Object.keys(OWN), ...strategyNames].join(', ')}), --dir and --config\n`);
  process.exit(2);
}
const atWork = setInterval(() => undefined, 2 ** 30);
try {
  await runNode({ dir, config, listen: undefined }, await lying(name, dir, config));
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
clearInterval(atWork);
process.exit();
