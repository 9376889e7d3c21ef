/**
 * Who takes part in a simulated or a test cluster: keys that follow from names, and a configuration of them
 * that an admin of its own has signed.
 */
import { utf8 } from '../base/bytes.ts';
import { sha256, signingKeyFromSeed } from '../crypto/primitives.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import { configStatement, encodeConfiguration, openRootConfiguration, sealConfiguration } from '../protocol/configuration.ts';
import type { Cluster, Configuration } from '../protocol/configuration.ts';

export interface NodeKeys {
  readonly signing: SigningKey;
  readonly tls: SigningKey;
}

export interface SimulatedWriter {
  readonly gatewayId: Uint8Array;
  readonly signingKey: SigningKey;
  readonly tlsKey: SigningKey;
  readonly name: string;
  readonly capabilities: Configuration['writers'][number]['capabilities'];
}

export interface ClusterShape {
  readonly f?: number;
  /** n-2f unless given. */
  readonly k?: number;
  /** Changes the configuration before it is signed. */
  readonly amend?: (config: Configuration) => Configuration;
}

export function seededKey(name: string): SigningKey {
  return signingKeyFromSeed(sha256(utf8(name)));
}

export function makeNodeKeys(n: number): readonly NodeKeys[] {
  return Array.from({ length: n }, (_, slot) => ({ signing: seededKey(`node ${slot}`), tls: seededKey(`node tls ${slot}`) }));
}

export function makeWriters(count: number): readonly SimulatedWriter[] {
  return Array.from({ length: count }, (_, i) => ({
    gatewayId: sha256(utf8(`gateway ${i}`)),
    signingKey: seededKey(`gateway ${i}`),
    tlsKey: seededKey(`gateway tls ${i}`),
    name: `gateway-${i}`,
    capabilities: ['write', 'buckets', 'resolve', 'bypassGovernance'],
  }));
}

/** The cluster's controller: it audits and repairs, and writes nothing. */
export function makeController(): SimulatedWriter {
  return {
    gatewayId: sha256(utf8('controller')),
    signingKey: seededKey('controller'),
    tlsKey: seededKey('controller tls'),
    name: 'controller',
    capabilities: ['repair'],
  };
}

/** A configuration of these nodes and writers; throws when it is refused. */
export function makeCluster(keys: readonly NodeKeys[], writers: readonly SimulatedWriter[], shape: ClusterShape): Cluster {
  const f = shape.f ?? 1;
  const n = keys.length;
  const admin = seededKey('admin');
  const clusterId = sha256(utf8('test cluster'));
  const config: Configuration = {
    v: 1,
    clusterId,
    epoch: 1,
    prevHash: null,
    phase: 'STABLE',
    f,
    k: shape.k ?? n - 2 * f,
    slots: keys.map(({ signing, tls }, slot) => ({
      slot,
      nodeId: sha256(signing.publicKey),
      signingKey: signing.publicKey,
      tlsKey: tls.publicKey,
      addresses: [`127.0.0.1:${7000 + slot}`],
      domain: `domain-${slot}`,
    })),
    writers: writers.map((w) => ({
      gatewayId: w.gatewayId,
      signingKey: w.signingKey.publicKey,
      tlsKey: w.tlsKey.publicKey,
      capabilities: w.capabilities,
    })),
    suiteMin: 1,
    protocolMin: 1,
    retentionMaxMs: 0,
    uncertifiedBytesMax: 1024 ** 3,
    admins: [admin.publicKey],
    m: 1,
    freshnessKey: seededKey('freshness').publicKey,
    notBefore: 0,
  };
  const amended = shape.amend?.(config) ?? config;
  const body = encodeConfiguration(amended);
  const signature = admin.sign(configStatement(clusterId, body));
  const verdict = openRootConfiguration(sealConfiguration(body, [{ admin: admin.publicKey, signature }]));
  if (!verdict.ok) throw new Error(`the configuration is refused: ${verdict.reason}`);
  return verdict.cluster;
}
