/** Walks ways of the model of one node with a real one, each under a key of its own, and tells where the two part. */
import { describeRequest } from '../models/node.ts';
import type { NodeModel, NodeStep } from '../models/node.ts';
import { RealNode } from './real-node.ts';
import type { ReplayWorld } from './real-node.ts';

export interface NodeReplay {
  /** How the real node answered otherwise, and after what. */
  readonly divergences: readonly string[];
  readonly requests: number;
  readonly restarts: number;
}

const SLOT = 0;

/**
 * All ways side by side, one step of each at a time. With `restarts` the node dies and comes back after every
 * such round, in whatever state each key is by then, and must show what it showed before.
 */
export async function replayNode(replay: ReplayWorld, model: NodeModel, ways: readonly (readonly NodeStep[])[], isRestarted: boolean): Promise<NodeReplay> {
  const nodes = ways.map((_, i) => new RealNode(replay, SLOT, `${model.name} ${i}`, model.stamps));
  const divergences: string[] = [];
  let requests = 0;
  let restarts = 0;
  const rounds = Math.max(0, ...ways.map((way) => way.length));
  for (let round = 0; round < rounds; round++) {
    const follow = async (way: readonly NodeStep[], i: number): Promise<void> => {
      const [taken, node] = [way[round], nodes[i]];
      if (taken === undefined || node === undefined) return;
      requests += 1;
      const said = await node.ask(taken.request);
      const shown = await node.shown();
      const wanted = model.describeMax(taken.state);
      const before = way.slice(0, round).map((step) => step.label).join('; ');
      if (said !== taken.answer) divergences.push(`${describeRequest(taken.request)}: ${said} instead of ${taken.answer}; before: ${before}`);
      if (shown !== wanted) divergences.push(`shows ${shown} instead of ${wanted} after ${taken.label}; before: ${before}`);
    };
    await Promise.all(ways.map(follow));
    if (!isRestarted) continue;
    await replay.restart(SLOT);
    restarts += 1;
  }
  return { divergences, requests, restarts };
}
