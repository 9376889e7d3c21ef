/**
 * Makes the first configuration of a cluster (protocol 13.13): epoch 1, the members of the join requests in
 * the order given, signed by one fresh admin key. What is made is read back through the same door as every
 * process uses, so that a document which others would refuse is never written.
 */
import { hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { configStatement, encodeConfiguration, openRootConfiguration, sealConfiguration } from '../protocol/configuration.ts';
import type { Cluster, Configuration } from '../protocol/configuration.ts';
import { SUITE_1 } from '../protocol/manifest.ts';
import { requireGeometry } from '../protocol/quorum.ts';
import type { AdminKeys } from './identity-folder.ts';
import type { JoinRequest } from './join-request.ts';

const YEAR_MS = 365 * 24 * 3600 * 1000;
const RETENTION_MAX_MS = 100 * YEAR_MS;
/** A few of the largest uploads (5 GiB, a k-th of it per node) at once, from one gateway. */
const UNCERTIFIED_BYTES_MAX = 16 * 1024 ** 3;

export interface RootOptions {
  readonly clusterId: Uint8Array;
  readonly joins: readonly JoinRequest[];
  readonly f: number;
  readonly k: number;
  readonly admin: AdminKeys;
  readonly nowMs: number;
}

/** The signed document and its meaning. BAD_GEOMETRY or BAD_CONFIG names what is violated. */
export function makeRootConfiguration(options: RootOptions): Cluster {
  const nodes = options.joins.filter((join) => join.role === 'node');
  const gateways = options.joins.filter((join) => join.role === 'gateway');
  const controllers = options.joins.filter((join) => join.role === 'controller');
  requireGeometry(nodes.length, options.f, options.k);
  if (gateways.length === 0) {
    throw new OperationError('BAD_ARGUMENT', 'A cluster needs a gateway to write through.', {
      remedy: 'Add --gateway with the join request that `holdfast gateway init` printed.',
    });
  }
  const config: Configuration = {
    v: 1,
    clusterId: options.clusterId,
    epoch: 1,
    prevHash: null,
    phase: 'STABLE',
    f: options.f,
    k: options.k,
    slots: nodes.map((node, slot) => ({
      slot,
      nodeId: node.id,
      signingKey: node.signingKey,
      tlsKey: node.tlsKey,
      addresses: [node.address],
      domain: node.domain,
    })),
    writers: [...gateways, ...controllers].map(({ role, id, signingKey, tlsKey }) => ({
      gatewayId: id,
      signingKey,
      tlsKey,
      capabilities: role === 'controller' ? ['repair'] : ['write', 'buckets', 'resolve', 'bypassGovernance'],
    })),
    suiteMin: SUITE_1,
    protocolMin: 1,
    retentionMaxMs: RETENTION_MAX_MS,
    uncertifiedBytesMax: UNCERTIFIED_BYTES_MAX,
    admins: [options.admin.admin.publicKey],
    m: 1,
    freshnessKey: options.admin.freshness.publicKey,
    notBefore: options.nowMs,
  };
  const body = encodeConfiguration(config);
  const signature = options.admin.admin.sign(configStatement(options.clusterId, body));
  const document = sealConfiguration(body, [{ admin: options.admin.admin.publicKey, signature }]);
  return openConfiguration(document, 'the new configuration');
}

/** A configuration document from a file. BAD_CONFIG with the predicate that fails. */
export function openConfiguration(document: Uint8Array, source: string): Cluster {
  const verdict = openRootConfiguration(document);
  if (verdict.ok) return verdict.cluster;
  throw new OperationError('BAD_CONFIG', `${source} is refused: ${verdict.reason}.`, {
    remedy: 'Use the document that `holdfast cluster init` wrote, byte for byte, and a version of the program that knows it.',
  });
}

/** How a person recognises a cluster: the first eight bytes of its id. */
export function shortId(id: Uint8Array): string {
  return hex(id.subarray(0, 8));
}
