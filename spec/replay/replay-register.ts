/**
 * Walks ways of the register's model with real nodes. What a step changed in the model's state says which
 * request it was: a node that has a fragment more was sent PREPARE, one whose certificate is higher COMMIT, and so
 * on. The correct nodes of the model are the first slots; for the Byzantine ones receipts are signed with their
 * keys, and certificates are made of the receipts that real nodes have given, so that a certificate of the model
 * that reality cannot make fails too. A model may let go of a fragment when a node would not yet; the other way
 * round, what binds in the model must be there.
 */
import type { RawVersion } from '../../src/sim/adversaries/raw-writer.ts';
import type { Step } from '../models/engine.ts';
import { headText } from '../models/node.ts';
import type { HeadName } from '../models/node.ts';
import type { RegisterState } from '../models/register.ts';
import type { ModelStamp } from '../models/acceptance.ts';
import { RealNode } from './real-node.ts';
import type { Receipt, ReplayWorld } from './real-node.ts';

export type Way = readonly Step<RegisterState>[];

export interface RegisterWays {
  readonly name: string;
  readonly initial: RegisterState;
  readonly stamps: readonly ModelStamp[];
  /** Manifests a stamp, as the model counts them. */
  readonly values: number;
  readonly ways: readonly Way[];
}

export interface RegisterReplay {
  /** How real nodes behaved otherwise, and after what. */
  readonly divergences: readonly string[];
  /** Answers that were compared, by what was asked. */
  readonly compared: ReadonlyMap<string, number>;
}

/** All ways side by side. No node restarts: it would take in what the others hold (13.9), and be ahead of the way. */
export async function replayRegister(replay: ReplayWorld, of: RegisterWays): Promise<RegisterReplay> {
  const compared = new Map<string, number>();
  const walkers = of.ways.map((way, i) => new Walker(replay, of, way, `${of.name} ${i}`, compared));
  const rounds = Math.max(0, ...of.ways.map((way) => way.length));
  for (let round = 0; round < rounds; round++) await Promise.all(walkers.map((walker) => walker.step(round)));
  await Promise.all(walkers.map((walker) => walker.compareAll()));
  return { divergences: walkers.flatMap((walker) => walker.divergences), compared };
}

class Walker {
  readonly divergences: string[] = [];
  readonly #replay: ReplayWorld;
  readonly #values: number;
  readonly #way: Way;
  readonly #nodes: readonly RealNode[];
  readonly #compared: Map<string, number>;
  /** By head: made when the model first has one. */
  readonly #certificates = new Map<number, Uint8Array>();
  #state: RegisterState;
  #done = 0;

  constructor(replay: ReplayWorld, { initial, stamps, values }: RegisterWays, way: Way, key: string, compared: Map<string, number>) {
    this.#replay = replay;
    this.#values = values;
    this.#way = way;
    this.#state = initial;
    this.#compared = compared;
    const versions = new Map<string, RawVersion>();
    this.#nodes = initial.nodes.map((_, slot) => new RealNode(replay, slot, key, stamps, versions));
  }

  async step(round: number): Promise<void> {
    const taken = this.#way[round];
    // After the first difference the two are in different states, and all else follows from that.
    if (taken === undefined || this.divergences.length > 0) return;
    const [before, after] = [this.#state, taken.state];
    this.#done = round + 1;
    this.#state = after;
    for (const head of members(after.certified & ~before.certified)) this.#certify(head);
    for (const [i, node] of after.nodes.entries()) {
      const old = before.nodes[i];
      const real = this.#nodes[i];
      if (old === undefined || real === undefined) continue;
      for (const head of members(node.fragments & ~old.fragments)) {
        this.#compare('PREPARE', i, await real.ask({ type: 'PREPARE', head: this.#nameOf(head) }), 'receipt');
        this.#compare('FETCH', i, await real.fetch(this.#nameOf(head)), 'cell');
      }
      if (node.max > old.max) this.#compare('COMMIT', i, await this.#commit(real, node.max), 'acknowledged');
      if (node.max !== old.max || node.answered !== old.answered) this.#compare('QUERY', i, await real.shown(), this.#text(node.max));
    }
    await this.#compareRefusals(before, after);
    await this.#compareRead(before, after);
  }

  /** In the end: what every node shows, and that every fragment that binds is there. */
  async compareAll(): Promise<void> {
    if (this.divergences.length > 0) return;
    for (const [i, { fragments, max }] of this.#state.nodes.entries()) {
      const real = this.#nodes[i];
      if (real === undefined) continue;
      this.#compare('QUERY', i, await real.shown(), this.#text(max));
      for (const head of members(fragments)) {
        const stamp = Math.floor(head / this.#values);
        const binds = stamp > max || (stamp === max && head === this.#certifiedHead(stamp));
        if (stamp > 0 && binds) this.#compare('FETCH', i, await real.fetch(this.#nameOf(head)), 'cell');
      }
    }
  }

  /** A writer that turned away from its stamp was told so, by a node that holds the certificate above it. */
  async #compareRefusals(before: RegisterState, after: RegisterState): Promise<void> {
    for (const [w, writer] of before.writers.entries()) {
      const now = after.writers[w];
      if (writer.phase !== 'preparing' || (now?.phase !== 'helping' && now?.phase !== 'querying')) continue;
      const i = after.nodes.findIndex(({ max }) => (now.phase === 'helping' ? max === now.stamp : max > writer.stamp));
      const max = after.nodes[i]?.max ?? 0;
      const said = await this.#nodes[i]?.ask({ type: 'PREPARE', head: { stamp: writer.stamp, value: 0 } });
      this.#compare('refusal', i, said ?? 'nothing', `SUPERSEDED by ${this.#text(max)}`);
    }
  }

  /** What the model's reader returned can be decoded, or a node shows what has replaced it. */
  async #compareRead({ reader }: RegisterState, after: RegisterState): Promise<void> {
    const head = this.#certifiedHead(reader.highest);
    if (reader.phase !== 'writing back' || after.reader.phase !== 'idle' || reader.highest === 0 || head === undefined) return;
    const said = await Promise.all(this.#nodes.map((node) => node.fetch(this.#nameOf(head))));
    const { f, k } = this.#replay.world.cluster.geometry;
    const isReplaced = said.some((answer) => answer.startsWith('SUPERSEDED'));
    const isRead = isReplaced ? after.nodes.some(({ max }) => max > reader.highest) : said.filter((answer) => answer === 'cell').length + f >= k;
    this.#compare('read', 0, isRead ? 'readable' : said.join(', '), 'readable');
  }

  /** q receipts of the real nodes that have given one, the Byzantine ones helping. */
  #certify(head: number): void {
    const [first] = this.#nodes;
    if (first === undefined) return;
    const receipts = new Map<number, Receipt>();
    for (const [slot, node] of this.#nodes.entries()) {
      const receipt = node.receipt(this.#nameOf(head));
      if (receipt !== undefined) receipts.set(slot, receipt);
    }
    const byzantine = this.#replay.world.cluster.slots.map(({ slot }) => slot).slice(this.#nodes.length);
    this.#certificates.set(head, this.#replay.certificate(first.version(this.#nameOf(head)), receipts, byzantine));
  }

  async #commit(real: RealNode, stamp: number): Promise<string> {
    const head = this.#certifiedHead(stamp);
    const cert = head === undefined ? undefined : this.#certificates.get(head);
    return head === undefined || cert === undefined ? 'nothing to commit' : real.commit(this.#nameOf(head), cert);
  }

  /** The one at this stamp: the model's I1. */
  #certifiedHead(stamp: number): number | undefined {
    return members(this.#state.certified).find((head) => Math.floor(head / this.#values) === stamp);
  }

  #nameOf(head: number): HeadName {
    return { stamp: Math.floor(head / this.#values), value: head % this.#values };
  }

  #text(stamp: number): string {
    const head = this.#certifiedHead(stamp);
    return stamp === 0 || head === undefined ? 'nothing' : headText(this.#nameOf(head));
  }

  #compare(what: string, node: number, said: string, wanted: string): void {
    this.#compared.set(what, (this.#compared.get(what) ?? 0) + 1);
    if (said === wanted || this.divergences.length > 0) return;
    const steps = this.#way.slice(0, this.#done).map(({ label }) => label);
    this.divergences.push(`${what} at node ${node}: ${said} instead of ${wanted}, after: ${steps.join('; ')}`);
  }
}

/** Numbers of the bits that are set. */
function members(set: number): number[] {
  const found: number[] = [];
  for (let i = 0; 1 << i <= set; i++) if (((set >> i) & 1) === 1) found.push(i);
  return found;
}
