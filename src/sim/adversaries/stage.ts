/** What an adversary among the storage nodes has: the world that everybody sees, the keys of its own nodes, and their place in the network. */
import type { Clock, Frame, PeerConnection, Random } from '../../base/ports.ts';
import type { SigningKey } from '../../crypto/primitives.ts';
import type { EvidenceType } from '../../evidence/evidence.ts';
import type { Cluster } from '../../protocol/configuration.ts';
import { signBatch, statementLeaf } from '../../protocol/statement.ts';
import type { Purpose, StatementProof } from '../../protocol/statement.ts';
import type { SimulatedWriter } from '../members.ts';
import type { MemoryNetwork } from '../memory-transport.ts';

/** Stands between the network and a node: `honest` is what the node itself answers, if it is asked at all. */
export type Interceptor = (honest: (frame: Frame) => Promise<Frame>, frame: Frame, from: PeerConnection) => Promise<Frame>;

export interface Stage {
  readonly cluster: Cluster;
  readonly clock: Clock;
  /** The key with which the node of this slot signs. An adversary asks for those of its own nodes alone. */
  nodeKey(slot: number): SigningKey;
  /** Told of each lie that its hearer could prove, where somebody checks that it is proven. */
  readonly lied?: (slot: number, type: EvidenceType, to: PeerConnection) => void;
}

/** What an adversary among the writers has besides: a gateway's identity, and a place in the network. */
export interface WriterStage extends Stage {
  readonly network: MemoryNetwork;
  readonly writers: readonly SimulatedWriter[];
  readonly random: Random;
}

/** Signs one statement by itself, as a batch of one. */
export function prove(cluster: Cluster, key: SigningKey, purpose: Purpose, body: Uint8Array): StatementProof {
  const [proof] = signBatch(key, cluster.id, [statementLeaf(purpose, cluster.id, body)]);
  if (proof === undefined) throw new Error('one statement has one proof');
  return proof;
}
