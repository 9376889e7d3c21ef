/**
 * rclone's repertoire: files of many names and sizes are copied, checked by hash, synced, moved on the server,
 * listed and removed, in parts where they are large. Not run where there is no rclone.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB, contentOf } from '../show/contents.ts';
import { PROCESS_MS } from '../show/live-cluster.ts';
import { ENDPOINTS, clientEnvironment } from './endpoints.ts';
import type { ClientEndpoint } from './endpoints.ts';

const IS_HERE = spawnSync('rclone', ['version'], { stdio: 'ignore' }).status === 0;
if (!IS_HERE) process.stdout.write('NOT RUN: test/s3/rclone.test.ts, because rclone is not installed\n');

const FILES: readonly (readonly [name: string, size: number])[] = [
  ['empty', 0],
  ['one byte', 1],
  ['ä€ + %20 & name.txt', 5 * KIB],
  ['deep/er/file.bin', 800 * KIB],
  ['deep/large.bin', 17 * MIB],
];

describe.runIf(IS_HERE).each(ENDPOINTS)('rclone $name', (against) => {
  let endpoint: ClientEndpoint;
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-rclone-'));
  const local = path.join(scratch, 'files');

  beforeAll(async () => {
    endpoint = await against.start();
    for (const [name, size] of FILES) {
      const file = path.join(local, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, contentOf(name, size));
    }
  }, 2 * PROCESS_MS);
  afterAll(async () => {
    await endpoint?.close();
    fs.rmSync(scratch, { recursive: true, force: true });
  }, PROCESS_MS);

  /** Runs it to its end with a remote `hf:`; whatever it says goes into the message when it fails. */
  async function rclone(...args: readonly string[]): Promise<string> {
    const env = {
      ...clientEnvironment(endpoint, scratch),
      RCLONE_CONFIG: path.join(scratch, 'rclone.conf'),
      RCLONE_CONFIG_HF_TYPE: 's3',
      RCLONE_CONFIG_HF_PROVIDER: 'Other',
      RCLONE_CONFIG_HF_ENV_AUTH: 'true',
      RCLONE_CONFIG_HF_ENDPOINT: endpoint.origin,
      RCLONE_CONFIG_HF_REGION: endpoint.region,
      RCLONE_CONFIG_HF_FORCE_PATH_STYLE: 'true',
    };
    const parts = ['--s3-upload-cutoff', '8M', '--s3-chunk-size', '8M'];
    const child = spawn('rclone', [...args, ...parts], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (out += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(code, `rclone ${args.join(' ')}\n${out}`).toBe(0);
    return out;
  }

  it('copies a tree in, checks every hash, and copies it out', async () => {
    await rclone('mkdir', 'hf:tree');
    await rclone('copy', local, 'hf:tree/files');
    await rclone('check', local, 'hf:tree/files');
    await rclone('check', '--download', local, 'hf:tree/files');
    await rclone('copy', 'hf:tree/files', path.join(scratch, 'out'));
    for (const [name, size] of FILES) expect(fs.readFileSync(path.join(scratch, 'out', name)).equals(contentOf(name, size)), name).toBe(true);
  }, PROCESS_MS);

  it('syncs what changed, keeps modification times, and removes what went', async () => {
    await rclone('mkdir', 'hf:synced');
    await rclone('sync', local, 'hf:synced/files');
    expect(await rclone('sync', '-v', local, 'hf:synced/files')).toMatch(/nothing to transfer/i);
    const changed = path.join(scratch, 'changed');
    fs.cpSync(local, changed, { recursive: true, preserveTimestamps: true });
    fs.rmSync(path.join(changed, 'empty'));
    fs.writeFileSync(path.join(changed, 'added'), 'added');
    await rclone('sync', changed, 'hf:synced/files');
    await rclone('check', changed, 'hf:synced/files');
    expect(await rclone('lsf', '-R', '--files-only', 'hf:synced/files')).not.toContain('empty');
  }, PROCESS_MS);

  it('copies and moves on the server', async () => {
    await rclone('mkdir', 'hf:moved');
    await rclone('copyto', path.join(local, 'deep', 'large.bin'), 'hf:moved/one');
    await rclone('copyto', 'hf:moved/one', 'hf:moved/two');
    await rclone('moveto', 'hf:moved/two', 'hf:moved/three');
    expect((await rclone('lsf', 'hf:moved')).trim().split('\n')).toEqual(['one', 'three']);
    expect(await rclone('hashsum', 'md5', '--download', 'hf:moved/one')).toContain((await rclone('hashsum', 'md5', '--download', 'hf:moved/three')).split(' ')[0]);
  }, PROCESS_MS);

  it('reads a part of a file, tells sizes, and removes a bucket with all that is in it', async () => {
    await rclone('mkdir', 'hf:purged');
    await rclone('copy', local, 'hf:purged');
    const text = path.join(scratch, 'text');
    fs.writeFileSync(text, 'abcdefgh');
    await rclone('copyto', text, 'hf:purged/text');
    expect(await rclone('cat', '--offset', '2', '--count', '3', 'hf:purged/text')).toBe('cde');
    await rclone('deletefile', 'hf:purged/text');
    expect(JSON.parse(await rclone('size', '--json', 'hf:purged'))).toMatchObject({ count: FILES.length, bytes: FILES.reduce((sum, [, size]) => sum + size, 0) });
    await rclone('purge', 'hf:purged');
    expect(await rclone('lsf', 'hf:')).not.toContain('purged');
  }, PROCESS_MS);
});
