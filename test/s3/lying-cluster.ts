/**
 * A cluster of real processes of which one lies throughout: `holdfast up` makes it, then its six storage nodes
 * and its gateway are started one by one, one node in the role of a liar. Further accounts are made as their
 * owner makes them, by `holdfast access create`.
 */
import type { EndpointFile } from '../../src/cli/endpoint-file.ts';
import { Members, buildPrograms, runCommand } from '../cluster/programs.ts';
import { LiveCluster } from '../show/live-cluster.ts';

/** Which node lies: one that is neither the first nor the last of any read order. */
const LYING_SLOT = 3;

export interface LyingClusterOptions {
  /** Stands in for the product's own gateway. */
  readonly gatewayProgram?: string;
  readonly accounts?: readonly { readonly name: string; readonly email: string }[];
}

export interface AccountKey {
  /** Canonical id. */
  readonly account: string;
  readonly displayName: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export class LyingCluster {
  readonly endpoint: EndpointFile;
  readonly port: number;
  readonly members: Members;
  /** In the order of the accounts that were asked for. */
  readonly keys: AccountKey[] = [];
  readonly #cluster: LiveCluster;

  private constructor(cluster: LiveCluster, endpoint: EndpointFile) {
    this.#cluster = cluster;
    this.endpoint = endpoint;
    this.port = cluster.port;
    this.members = new Members(cluster.dir);
  }

  /** Resolves when every process serves. */
  static async start(name: string, { gatewayProgram, accounts = [] }: LyingClusterOptions = {}): Promise<LyingCluster> {
    buildPrograms();
    const made = await LiveCluster.start(name);
    const { endpoint } = made;
    await made.stop();
    const cluster = new LyingCluster(made, endpoint);
    // One after the other: each command locks the register.
    for (const account of accounts) cluster.keys.push(await makeKey(made.dir, account.name, account.email));
    const roles = endpoint.nodes.map((_node, slot) => (slot === LYING_SLOT ? 'otherCell' : 'correct'));
    await cluster.members.start(roles, `127.0.0.1:${made.port}`, gatewayProgram);
    await Promise.all(roles.map((_role, slot) => cluster.members.nodeServes(slot)));
    return cluster;
  }

  async close(): Promise<void> {
    await this.members.stop();
    await this.#cluster.end();
  }
}

async function makeKey(dir: string, name: string, email: string): Promise<AccountKey> {
  const { code, stdout, stderr } = await runCommand('access', 'create', '--dir', dir, '--account', name, '--email', email, '--json');
  if (code !== 0) throw new Error(`holdfast access create ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as AccountKey;
}
