/**
 * The `aws` command line as people use it, against `holdfast up` with one node down: a large file and many
 * small ones go in with cp and sync, come back identical, are listed and removed. Not run where there is no `aws`.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB, contentOf, digestOf } from '../show/contents.ts';
import { LiveCluster, PROCESS_MS } from '../show/live-cluster.ts';
import { IS_SLOW } from '../slow.ts';

const LARGE_MIB = IS_SLOW ? 1024 : 64;
const SMALL_FILES = IS_SLOW ? 1_000 : 40;
const TIMEOUT_MS = (IS_SLOW ? 10 : 2) * PROCESS_MS;
const IS_HERE = spawnSync('aws', ['--version'], { stdio: 'ignore' }).status === 0;
if (!IS_HERE) process.stdout.write('NOT RUN: test/s3/aws-cli.test.ts, because aws is not installed\n');

describe.runIf(IS_HERE)('the aws command line', () => {
  let cluster: LiveCluster;
  let release: () => Promise<void>;
  let env: NodeJS.ProcessEnv;
  const at = (...names: string[]): string => path.join(cluster.scratch, ...names);

  beforeAll(async () => {
    cluster = await LiveCluster.start('aws');
    const { accessKeyId, secretAccessKey, region } = cluster.endpoint;
    const credentials = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_DEFAULT_REGION: region };
    // No settings of the person who runs the tests.
    env = { PATH: process.env['PATH'], HOME: cluster.scratch, ...credentials };
    fs.mkdirSync(at('small', 'deep'), { recursive: true });
    for (let index = 0; index < SMALL_FILES; index += 1) {
      const name = index % 3 === 0 ? `deep/file ${index}.bin` : `file-${index}.txt`;
      fs.writeFileSync(at('small', name), contentOf(name, (index * 97) % (8 * KIB)));
    }
    const large = fs.openSync(at('large'), 'w');
    for (let index = 0; index < LARGE_MIB / 16; index += 1) fs.writeSync(large, contentOf(`large ${index}`, 16 * MIB));
    fs.closeSync(large);
  }, PROCESS_MS);
  afterAll(async () => {
    await release?.();
    await cluster?.end();
  }, PROCESS_MS);

  /** Runs it to its end; whatever it says goes into the message when it fails. */
  async function aws(...args: readonly string[]): Promise<string> {
    const started = performance.now();
    const child = spawn('aws', ['--endpoint-url', cluster.endpoint.endpoint, ...args], { env, cwd: cluster.scratch, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (out += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(code, `aws ${args.join(' ')}\n${out}`).toBe(0);
    console.log(`aws ${args.slice(0, 2).join(' ')}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return out;
  }

  function expectSameTree(one: string, other: string): void {
    const names = (dir: string): string[] => fs.readdirSync(at(dir), { recursive: true, encoding: 'utf8' }).toSorted();
    expect(names(other)).toEqual(names(one));
    for (const name of names(one)) {
      if (fs.statSync(at(one, name)).isDirectory()) continue;
      expect(fs.readFileSync(at(other, name)).equals(fs.readFileSync(at(one, name))), name).toBe(true);
    }
  }

  const digestOfFile = (name: string): string[] => {
    const file = fs.openSync(at(name), 'r');
    const digests: string[] = [];
    const block = Buffer.alloc(16 * MIB);
    for (let read = fs.readSync(file, block); read > 0; read = fs.readSync(file, block)) digests.push(digestOf(block.subarray(0, read)));
    fs.closeSync(file);
    return digests;
  };

  // A node that is down is the harder half.
  const states = IS_SLOW ? ['with all nodes running', 'with one node down'] : ['with one node down'];
  describe.each(states)('%s', (state) => {
    const bucket = state === 'with one node down' ? 'aws-one-down' : 'aws-all';

    beforeAll(async () => {
      if (state === 'with one node down') release = await cluster.holdDown(1);
      await aws('s3', 'mb', `s3://${bucket}`);
    }, PROCESS_MS);

    it(`copies a file of ${LARGE_MIB} MiB in and out`, async () => {
      await aws('s3', 'cp', '--no-progress', 'large', `s3://${bucket}/large`);
      await aws('s3', 'cp', '--no-progress', `s3://${bucket}/large`, `large-${bucket}`);
      expect(digestOfFile(`large-${bucket}`)).toEqual(digestOfFile('large'));
      fs.rmSync(at(`large-${bucket}`));
    }, TIMEOUT_MS);

    it(`copies ${SMALL_FILES} small files in and out, and syncs what changed`, async () => {
      await aws('s3', 'cp', '--no-progress', '--recursive', 'small', `s3://${bucket}/small/`);
      await aws('s3', 'cp', '--no-progress', '--recursive', `s3://${bucket}/small/`, `small-${bucket}`);
      expectSameTree('small', `small-${bucket}`);
      fs.writeFileSync(at(`small-${bucket}`, 'deep', 'added.bin'), contentOf('added', 9_999));
      fs.rmSync(at(`small-${bucket}`, 'file-1.txt'));
      const synced = await aws('s3', 'sync', '--no-progress', '--delete', `small-${bucket}`, `s3://${bucket}/small/`);
      expect(synced).toContain('added.bin');
      expect(synced).toContain('delete:');
      await aws('s3', 'sync', '--no-progress', `s3://${bucket}/small/`, `again-${bucket}`);
      expectSameTree(`small-${bucket}`, `again-${bucket}`);
    }, TIMEOUT_MS);

    it('lists and removes', async () => {
      const listed = await aws('s3', 'ls', '--recursive', '--summarize', `s3://${bucket}`);
      expect(listed).toMatch(new RegExp(`Total Objects: ${SMALL_FILES + 1}`));
      expect(listed).toContain(`${LARGE_MIB * MIB} large`);
      expect(await aws('s3', 'ls', `s3://${bucket}/small/`)).toContain('PRE deep/');
      await aws('s3', 'rm', `s3://${bucket}/large`);
      await aws('s3', 'rb', '--force', `s3://${bucket}`);
      expect(await aws('s3', 'ls')).not.toContain(bucket);
    }, TIMEOUT_MS);
  });
});
