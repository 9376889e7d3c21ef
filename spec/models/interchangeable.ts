/**
 * Correct nodes that do the same job are interchangeable: states that differ only in which of them did what are
 * one state. Every model with such nodes keeps all that concerns one node in one flat record of `nodes`, so
 * sorting those records is the whole symmetry. The names in a trace stay true, because states are never renamed.
 */

export interface WithNodes<Node> {
  readonly nodes: readonly Node[];
}

/** Equal for two states iff one becomes the other by renaming nodes. Fields must always come in the same order. */
export function canonicalKey<State extends WithNodes<object>>(state: State): string {
  const { nodes, ...rest } = state;
  const records = nodes.map((node) => JSON.stringify(node)).sort();
  return records.join() + JSON.stringify(rest);
}

export function makeNodes<Node>(count: number, make: (i: number) => Node): readonly Node[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

export function countNodes<Node>({ nodes }: WithNodes<Node>, test: (node: Node) => boolean): number {
  let count = 0;
  for (const node of nodes) if (test(node)) count++;
  return count;
}

type NodeOf<State extends WithNodes<object>> = State['nodes'][number];

/** The state with some fields of node i changed. */
export function withNode<State extends WithNodes<object>>(state: State, i: number, change: Partial<NodeOf<State>>): State {
  return { ...state, nodes: state.nodes.map((node, j) => (j === i ? { ...node, ...change } : node)) };
}

/** The state with the same fields changed on every node. */
export function withEveryNode<State extends WithNodes<object>>(state: State, change: Partial<NodeOf<State>>): State {
  return { ...state, nodes: state.nodes.map((node) => ({ ...node, ...change })) };
}
