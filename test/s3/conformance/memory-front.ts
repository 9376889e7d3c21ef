/**
 * S3 fronts for the conformance suite: the gateway's own front in a listener on loopback, over a store in
 * memory, with the accounts that the suite acts for. What the suite judges is the front; the store below it is
 * judged by the port's contract.
 */
import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { directoryOf } from '../../../src/gateway/s3/access/credential-store.ts';
import { LifecycleExecutor } from '../../../src/gateway/s3/lifecycle/executor.ts';
import { MemoryStore } from '../../../src/gateway/s3/port/memory-store.contract.ts';
import type { ObjectStore } from '../../../src/gateway/s3/port/object-store.ts';
import { startS3World } from '../../../src/gateway/s3/s3-world.contract.ts';
import type { S3World } from '../../../src/gateway/s3/s3-world.contract.ts';
import { SystemRandom } from '../../../src/platform/random.ts';
import { LIFECYCLE_DAY_SECONDS } from './suite.ts';
import type { SuiteEndpoint, SuiteUser, SuiteUsers } from './suite.ts';

const LIFECYCLE_EVERY_MS = 200;

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

const SUITE_USERS: SuiteUsers = {
  main: userOf('main'),
  alt: userOf('alt'),
  tenant: userOf('tenant'),
  iam: userOf('iam'),
  iamRoot: userOf('iamRoot'),
  iamAltRoot: userOf('iamAltRoot'),
};

/** Carries lifecycle rules out over and over, by days as short as the suite counts them. */
function keepExpiring(store: ObjectStore, world: S3World): () => Promise<void> {
  const executor = new LifecycleExecutor({
    store,
    clock: world.clock,
    random: new SystemRandom(),
    telemetry: world.telemetry,
    time: { dayMs: LIFECYCLE_DAY_SECONDS * 1000, roundMs: LIFECYCLE_EVERY_MS },
    limits: { pauseMs: 0 },
  });
  const stop = new AbortController();
  const runs = (async () => {
    while (!stop.signal.aborted) {
      await executor.run(stop.signal);
      await setTimeout(LIFECYCLE_EVERY_MS);
    }
  })();
  return () => {
    stop.abort();
    return runs;
  };
}

export async function startMemoryFront(): Promise<SuiteEndpoint> {
  const store = new MemoryStore(() => Date.now());
  const accounts = Object.values(SUITE_USERS).map(({ id, displayName, email }) => ({ id, displayName, email }));
  const world = await startS3World({
    store,
    accounts: directoryOf(...accounts),
    lookup: (accessKeyId) => {
      const user = Object.values(SUITE_USERS).find((one) => one.accessKeyId === accessKeyId);
      const account = accounts.find((one) => one.id === user?.id);
      return Promise.resolve(user && account && { secretAccessKey: user.secretAccessKey, account });
    },
  });
  const stopExpiring = keepExpiring(store, world);
  return {
    port: world.server.port,
    users: SUITE_USERS,
    close: async () => {
      await stopExpiring();
      await world.close();
    },
  };
}
