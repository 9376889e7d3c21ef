/**
 * A real cluster for the conformance suite: six storage nodes and a gateway as processes, one node lying
 * throughout, with the accounts that the suite acts for.
 */
import path from 'node:path';
import { root } from '../../cluster/programs.ts';
import { LyingCluster } from '../lying-cluster.ts';
import { SUITE_ROLES } from './suite.ts';
import type { SuiteEndpoint, SuiteRole, SuiteUser, SuiteUsers } from './suite.ts';

const GATEWAY = path.join(root, 'node_modules', '.cache', 'companions', 'test', 's3', 'conformance', 'suite-gateway.js');

/** One endpoint for each pytest process, all of one cluster: accounts of its own, so that it lists its own buckets. */
export async function startProcessFronts(count: number): Promise<SuiteEndpoint[]> {
  const accounts = Array.from({ length: count }, (_, hand) => SUITE_ROLES.map((role) => accountOf(role, hand))).flat();
  const cluster = await LyingCluster.start('conformance', { gatewayProgram: GATEWAY, accounts });
  const userOf = (index: number): SuiteUser => {
    const { account, displayName, accessKeyId, secretAccessKey } = cluster.keys[index] ?? missingKey();
    return { id: account, displayName, email: accounts[index]?.email ?? '', accessKeyId, secretAccessKey };
  };
  let closing: Promise<void> | undefined;
  return Array.from({ length: count }, (_, hand) => {
    const users = Object.fromEntries(SUITE_ROLES.map((role, index) => [role, userOf(hand * SUITE_ROLES.length + index)])) as SuiteUsers;
    return { port: cluster.port, users, close: () => (closing ??= cluster.close()) };
  });
}

function accountOf(role: SuiteRole, hand: number): { name: string; email: string } {
  return { name: `${role} tester ${hand}`, email: `${role.toLowerCase()}.${hand}@holdfast.test` };
}

function missingKey(): never {
  throw new Error('an account has no key');
}
