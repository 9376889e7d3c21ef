/**
 * S3 fronts for the conformance suite: the gateway's own front in a listener on loopback, over a store in
 * memory, with the accounts that the suite acts for. What the suite judges is the front; the store below it is
 * judged by the port's contract.
 */
import { createHash } from 'node:crypto';
import { directoryOf } from '../../../src/gateway/s3/access/credential-store.ts';
import { startS3World } from '../../../src/gateway/s3/s3-world.contract.ts';
import type { SuiteRole, SuiteUser } from './suite.ts';

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

function userOf(role: string): SuiteUser {
  return {
    id: digest(`conformance account ${role}`),
    displayName: `${role} tester`,
    email: `${role.toLowerCase()}@holdfast.test`,
    accessKeyId: `HFCONFORMANCE${role.toUpperCase()}`,
    secretAccessKey: digest(`conformance secret ${role}`).slice(0, 40),
  };
}

export const SUITE_USERS: Readonly<Record<SuiteRole, SuiteUser>> = {
  main: userOf('main'),
  alt: userOf('alt'),
  tenant: userOf('tenant'),
  iam: userOf('iam'),
  iamRoot: userOf('iamRoot'),
  iamAltRoot: userOf('iamAltRoot'),
};

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

export async function startMemoryFront(): Promise<Listening> {
  const accounts = Object.values(SUITE_USERS).map(({ id, displayName, email }) => ({ id, displayName, email }));
  const world = await startS3World({
    accounts: directoryOf(...accounts),
    lookup: (accessKeyId) => {
      const user = Object.values(SUITE_USERS).find((one) => one.accessKeyId === accessKeyId);
      const account = accounts.find((one) => one.id === user?.id);
      return Promise.resolve(user && account && { secretAccessKey: user.secretAccessKey, account });
    },
  });
  return { port: world.server.port, close: () => world.close() };
}
