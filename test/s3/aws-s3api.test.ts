/**
 * `aws s3api` and what `aws s3` does beyond copying: conditional puts, versions, object lock, copies, uploads in
 * parts, mv and sync, against real processes of which one lies. Everything is done as the present command line
 * does it, with a checksum behind every body, and as those before 2025 did, with none. Not run where there is no
 * `aws`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB, contentOf } from '../show/contents.ts';
import { PROCESS_MS } from '../show/live-cluster.ts';
import { ENDPOINTS, clientEnvironment } from './endpoints.ts';
import type { ClientEndpoint } from './endpoints.ts';

const IS_HERE = spawnSync('aws', ['--version'], { stdio: 'ignore' }).status === 0;
if (!IS_HERE) process.stdout.write('NOT RUN: test/s3/aws-s3api.test.ts, because aws is not installed\n');

const AGES: readonly (readonly [age: string, environment: NodeJS.ProcessEnv])[] = [
  ['present', {}],
  ['past', { AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required', AWS_RESPONSE_CHECKSUM_VALIDATION: 'when_required' }],
];
/** The command line sends larger files in parts of this size. */
const PART = 8 * MIB;

interface Ended {
  readonly code: number | null;
  readonly out: string;
}

describe.runIf(IS_HERE).each(ENDPOINTS)('aws s3api $name', (against) => {
  let endpoint: ClientEndpoint;
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-s3api-'));
  const file = (name: string): string => path.join(scratch, name);

  beforeAll(async () => {
    endpoint = await against.start();
    fs.writeFileSync(file('one'), contentOf('one', 100 * KIB));
    fs.writeFileSync(file('two'), contentOf('two', 100 * KIB));
    fs.writeFileSync(file('large'), contentOf('large', 2 * PART + 5));
    fs.mkdirSync(file('tree'));
    for (const name of ['a', 'b']) fs.writeFileSync(file(`tree/${name}`), contentOf(name, KIB));
  }, 4 * PROCESS_MS);
  afterAll(async () => {
    await endpoint?.close();
    fs.rmSync(scratch, { recursive: true, force: true });
  }, PROCESS_MS);

  describe.each(AGES)('as clients of the %s', (age, more) => {
    const bucket = `s3api-${age}`;

    async function run(args: readonly string[]): Promise<Ended> {
      const env = { ...clientEnvironment(endpoint, scratch), ...more };
      const child = spawn('aws', ['--endpoint-url', endpoint.origin, '--output', 'json', ...args], { env, cwd: scratch, stdio: ['ignore', 'pipe', 'pipe'] });
      let out = '';
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (out += text));
      return { code: await new Promise<number | null>((resolve) => child.on('close', resolve)), out };
    }

    async function aws(...args: readonly string[]): Promise<string> {
      const { code, out } = await run(args);
      expect(code, `aws ${args.join(' ')}\n${out}`).toBe(0);
      return out;
    }

    async function api(command: string, ...args: readonly string[]): Promise<Record<string, unknown>> {
      const out = await aws('s3api', command, '--bucket', bucket, ...args);
      return out.trim() === '' ? {} : (JSON.parse(out) as Record<string, unknown>);
    }

    async function refused(code: string, command: string, ...args: readonly string[]): Promise<void> {
      const { out } = await run(['s3api', command, '--bucket', bucket, ...args]);
      expect(out).toContain(`(${code})`);
    }

    beforeAll(() => aws('s3api', 'create-bucket', '--bucket', bucket, '--object-lock-enabled-for-bucket'), PROCESS_MS);

    it('puts on conditions, and keeps each version', async () => {
      const one = await api('put-object', '--key', 'k', '--body', 'one', '--if-none-match', '*');
      await refused('PreconditionFailed', 'put-object', '--key', 'k', '--body', 'two', '--if-none-match', '*');
      await api('put-object', '--key', 'k', '--body', 'two', '--if-match', String(one['ETag']));
      await refused('PreconditionFailed', 'put-object', '--key', 'k', '--body', 'one', '--if-match', String(one['ETag']));
      const listed = await api('list-object-versions', '--prefix', 'k');
      expect(listed['Versions']).toHaveLength(2);
      await api('get-object', '--key', 'k', '--version-id', String(one['VersionId']), 'first');
      expect(fs.readFileSync(file('first')).equals(fs.readFileSync(file('one')))).toBe(true);
    }, PROCESS_MS);

    it('holds what is locked', async () => {
      const until = new Date(Date.now() + 3_600_000).toISOString();
      const lock = ['--object-lock-mode', 'GOVERNANCE', '--object-lock-retain-until-date', until];
      // S3 asks for a checksum of what is locked, which an old client sends only when it is told to.
      const digest = createHash('md5').update(contentOf('one', 100 * KIB)).digest('base64');
      const { VersionId } = await api('put-object', '--key', 'locked', '--body', 'one', '--content-md5', digest, ...lock);
      const which = ['--key', 'locked', '--version-id', String(VersionId)];
      await refused('AccessDenied', 'delete-object', ...which);
      expect(await api('get-object-retention', ...which)).toMatchObject({ Retention: { Mode: 'GOVERNANCE' } });
      await api('delete-object', ...which, '--bypass-governance-retention');
    }, PROCESS_MS);

    it('uploads in parts, copies and moves', async () => {
      await aws('s3', 'cp', '--no-progress', 'large', `s3://${bucket}/large`);
      expect(await api('head-object', '--key', 'large')).toMatchObject({ ContentLength: 2 * PART + 5, ETag: expect.stringMatching(/-3"$/) });
      await api('copy-object', '--key', 'copied', '--copy-source', `${bucket}/k`);
      // By parts that are copied, as it is larger than one.
      await aws('s3', 'mv', '--no-progress', `s3://${bucket}/large`, `s3://${bucket}/moved`);
      await aws('s3', 'cp', '--no-progress', `s3://${bucket}/moved`, 'back');
      expect(fs.readFileSync(file('back')).equals(fs.readFileSync(file('large')))).toBe(true);
      await refused('404', 'head-object', '--key', 'large');
    }, PROCESS_MS);

    it('syncs and removes', async () => {
      await aws('s3', 'sync', '--no-progress', 'tree', `s3://${bucket}/tree/`);
      expect(await aws('s3', 'sync', '--no-progress', 'tree', `s3://${bucket}/tree/`)).toBe('');
      await aws('s3', 'rm', '--recursive', `s3://${bucket}/tree/`);
      expect(await aws('s3', 'ls', '--recursive', `s3://${bucket}`)).not.toContain('tree/');
    }, PROCESS_MS);
  });
});
