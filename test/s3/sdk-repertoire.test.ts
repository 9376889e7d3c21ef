/**
 * The whole repertoire of the AWS SDK for JavaScript v3 (folder repertoire): checksums, parts and copies,
 * versions and locks, conditions, access, documents of buckets, listings, odd keys. What several states of a
 * cluster do to the plain operations is in sdk.test.ts.
 */
import { afterAll, beforeAll, describe } from 'vitest';
import { PROCESS_MS } from '../show/live-cluster.ts';
import { ENDPOINTS } from './endpoints.ts';
import { access } from './repertoire/access.ts';
import { buckets } from './repertoire/buckets.ts';
import { checksums } from './repertoire/checksums.ts';
import { multipart } from './repertoire/multipart.ts';
import { oddKeys } from './repertoire/odd-keys.ts';
import { SdkEndpoint } from './repertoire/sdk-endpoint.ts';
import { versions } from './repertoire/versions.ts';

describe.each(ENDPOINTS)("the SDK's repertoire $name", (against) => {
  let at: SdkEndpoint;

  beforeAll(async () => {
    at = new SdkEndpoint(await against.start());
  }, 4 * PROCESS_MS);
  afterAll(async () => {
    at?.client.destroy();
    await at?.endpoint.close();
  }, PROCESS_MS);

  const here = (): SdkEndpoint => at;
  describe('checksums', () => checksums(here));
  describe('parts and copies', () => multipart(here));
  describe('versions and conditions', () => versions(here));
  describe('access', () => access(here));
  describe('buckets and listings', () => buckets(here));
  describe('odd keys', () => oddKeys(here));
});
