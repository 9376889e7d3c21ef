/**
 * Contents are shared (protocol 13.3): a multipart upload has one part, acknowledged under a key of its own. To
 * complete it, a manifest M is written whose part table names the part's content, and the part's key gets a
 * tombstone; to abort it, the tombstone alone. A node accepts M iff the content is here and something of the same
 * owner names it; it lets the content go iff nothing names it any more.
 *
 * Must hold: a certified object is decodable; and so is a part, as long as nobody completed or aborted the upload.
 * Byzantine nodes sign all they are asked to, and have no content.
 */
import { holderCount, quorumSize } from '../../src/protocol/quorum.ts';
import { step } from './engine.ts';
import type { Model, Step } from './engine.ts';
import { canonicalKey, countNodes, makeNodes, withNode } from './interchangeable.ts';

export interface PartTableOptions {
  readonly n?: number;
  readonly f?: number;
  /** The client also aborts, whatever else it does. */
  readonly aborts?: boolean;
  readonly broken?: {
    /** Garbage collection looks at manifests alone, and not into part tables. */
    readonly tableNamesNothing?: boolean;
    /** A node looks for the content, does other things, and binds it then. */
    readonly bindsLater?: boolean;
    /** A table is accepted without the content, as if repair would bring it. */
    readonly acceptsWithout?: boolean;
    /** The client writes the tombstone first, and the table then. */
    readonly tombstoneFirst?: boolean;
  };
}

interface NodeState {
  readonly hasContent: boolean;
  /** Holds the tombstone's certificate: the part's manifest names the content no more. */
  readonly partGone: boolean;
  /** Has found the content for M, and not bound it yet. */
  readonly found: boolean;
  /** Has given a receipt for M: its table names the content. */
  readonly tableBound: boolean;
  readonly hasM: boolean;
}

interface PartTableState {
  readonly nodes: readonly NodeState[];
  readonly completing: boolean;
  readonly certified: boolean;
  /** The user has been told that the object is there. */
  readonly acknowledged: boolean;
  readonly aborted: boolean;
  /** The tombstone has a certificate, so that it may reach any node. */
  readonly tombstone: boolean;
}

type PartTableStep = Step<PartTableState>;

export function partTables(name: string, { n = 4, f = 1, aborts = false, broken = {} }: PartTableOptions = {}): Model<PartTableState> {
  const k = n - 2 * f;
  const q = quorumSize({ n, f });
  const c = holderCount({ n, f });
  const isNamed = (node: NodeState): boolean => !node.partGone || (node.tableBound && broken.tableNamesNothing !== true);
  const holders = (state: PartTableState): number => countNodes(state, (node) => node.hasContent);

  /** PREPARE of M: looking and binding are one record of the journal. */
  function* acceptTable(state: PartTableState, i: number, node: NodeState): Iterable<PartTableStep> {
    if (!state.completing || node.tableBound) return;
    const isHere = broken.acceptsWithout === true || (node.hasContent && isNamed(node));
    if (broken.bindsLater === true && isHere && !node.found) yield step(`node ${i} finds the content`, withNode(state, i, { found: true }));
    if (broken.bindsLater === true ? node.found : isHere) yield step(`node ${i} gives a receipt for M`, withNode(state, i, { found: false, tableBound: true }));
  }

  /** The tombstone of the part, from whomever. */
  function* takeTombstone(state: PartTableState, i: number, node: NodeState): Iterable<PartTableStep> {
    if (state.tombstone && !node.partGone) yield step(`the part's tombstone reaches node ${i}`, withNode(state, i, { partGone: true }));
  }

  function* takeM(state: PartTableState, i: number, node: NodeState): Iterable<PartTableStep> {
    if (state.certified && !node.hasM) yield step(`the certificate of M reaches node ${i}`, withNode(state, i, { hasM: true }));
  }

  /** GC: what nothing names goes. */
  function* collect(state: PartTableState, i: number, node: NodeState): Iterable<PartTableStep> {
    if (node.hasContent && !isNamed(node)) yield step(`node ${i} lets the content go`, withNode(state, i, { hasContent: false }));
  }

  function* client(state: PartTableState): Iterable<PartTableStep> {
    const { completing, certified, acknowledged, aborted, tombstone } = state;
    if (!completing && !aborted) yield step('the client completes', { ...state, completing: true });
    if (completing && !certified && countNodes(state, (node) => node.tableBound) + f >= q) yield step('M is certified', { ...state, certified: true });
    if (certified && !acknowledged && countNodes(state, (node) => node.hasM) + f >= c) yield step('M is acknowledged', { ...state, acknowledged: true });
    if (!tombstone && (acknowledged || (broken.tombstoneFirst === true && completing))) yield step('the part gets a tombstone', { ...state, tombstone: true });
    if (aborts && !aborted) yield step('the client aborts', { ...state, aborted: true, tombstone: true });
  }

  return {
    name: `part tables: ${name}, n=${n}`,
    initial: [
      {
        nodes: makeNodes(n - f, (i) => ({ hasContent: i < n - 2 * f, partGone: false, found: false, tableBound: false, hasM: false })),
        completing: false,
        certified: false,
        acknowledged: false,
        aborted: false,
        tombstone: false,
      },
    ],
    key: canonicalKey,
    invariants: {
      'certified object => decodable': (state) => !state.certified || holders(state) >= k,
      'open upload => part decodable': (state) => state.acknowledged || state.aborted || holders(state) >= k,
    },
    *next(state) {
      for (const [i, node] of state.nodes.entries()) {
        yield* acceptTable(state, i, node);
        yield* takeTombstone(state, i, node);
        yield* takeM(state, i, node);
        yield* collect(state, i, node);
      }
      yield* client(state);
    },
  };
}
