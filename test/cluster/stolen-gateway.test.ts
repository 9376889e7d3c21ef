/**
 * docs/key-compromise.md over real processes: two gateways of one owner, one is stolen, overwrites, deletes and
 * plants; it is revoked, found out, and undone, and a state root from before says so.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CreateBucketCommand, DeleteObjectCommand, GetObjectCommand, PutBucketVersioningCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askAdmin } from '../../src/cli/admin-socket.ts';
import { IS_SLOW } from '../slow.ts';
import { Program, buildPrograms, runCommand, until } from './programs.ts';

const TIMEOUT_MS = 180_000;
const SLOTS = [0, 1, 2, 3];
const PORT_BASE = 16_300 + (process.pid % 150) * 8;
const BUCKET = 'vault';

describe.runIf(IS_SLOW)('a stolen gateway', () => {
  let root: string;
  const programs: Program[] = [];
  const at = (...names: string[]): string => path.join(root, ...names);
  const isReady = (folder: string): Promise<boolean> => askAdmin(folder, '/health/ready').then(({ status }) => status === 200, () => false);
  const doorOf = (gateway: number): string => `http://127.0.0.1:${PORT_BASE + SLOTS.length + gateway}`;

  const run = async (...args: string[]): Promise<{ code: number; rows: Record<string, unknown>[] }> => {
    const { code, stdout } = await runCommand(...args, '--json');
    return { code: code ?? -1, rows: stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>) };
  };

  const clientOf = (gateway: number): S3Client => {
    const { accessKeys } = JSON.parse(fs.readFileSync(at(`g${gateway}`, 'access-keys.json'), 'utf8')) as { accessKeys: { accessKeyId: string; secretAccessKey: string }[] };
    const [credentials] = accessKeys;
    if (credentials === undefined) throw new Error('the gateway has an access key');
    return new S3Client({ endpoint: doorOf(gateway), region: 'us-east-1', forcePathStyle: true, credentials, maxAttempts: 1 });
  };

  beforeAll(async () => {
    buildPrograms();
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-stolen-'));
    const joins: string[] = [];
    for (const slot of SLOTS) {
      const { stdout } = await runCommand('node', 'init', '--dir', at(`n${slot}`), '--address', `127.0.0.1:${PORT_BASE + slot}`, '--domain', `operator-${slot}`);
      fs.writeFileSync(at(`n${slot}.json`), stdout);
      joins.push('--join', at(`n${slot}.json`));
    }
    fs.writeFileSync(at('g0.json'), (await runCommand('gateway', 'init', '--dir', at('g0'))).stdout);
    fs.writeFileSync(at('g1.json'), (await runCommand('gateway', 'init', '--dir', at('g1'), '--owner-from', at('g0'))).stdout);
    const made = await runCommand('cluster', 'init', '--dir', at('a'), ...joins, '--gateway', at('g0.json'), '--gateway', at('g1.json'), '--k', '2');
    expect(made, made.stderr).toMatchObject({ code: 0 });
    const config = ['--config', at('a', 'cluster.cfg')];
    for (const slot of SLOTS) programs.push(new Program(['node', 'run', '--dir', at(`n${slot}`), ...config]));
    for (const i of [0, 1]) programs.push(new Program(['gateway', 'run', '--dir', at(`g${i}`), ...config, '--port', String(PORT_BASE + SLOTS.length + i)]));
    for (const i of [0, 1]) await until('the gateway serves', () => isReady(at(`g${i}`)), 60_000);
  }, TIMEOUT_MS);

  afterAll(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    fs.rmSync(root, { recursive: true, force: true });
  }, TIMEOUT_MS);

  it('is revoked, found out and undone', async () => {
    const [thief, good] = [clientOf(0), clientOf(1)];
    const put = (client: S3Client, key: string, body: string) => client.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: body }));
    const get = (key: string): Promise<string> =>
      good.send(new GetObjectCommand({ Bucket: BUCKET, Key: key })).then(
        async ({ Body }) => (await Body?.transformToString()) ?? '',
        (error: unknown) => (error instanceof Error ? error.name : 'failed'),
      );
    await good.send(new CreateBucketCommand({ Bucket: BUCKET }));
    await good.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: 'Enabled' } }));
    for (const key of ['a', 'b']) await put(good, key, `good ${key}`);
    await put(thief, 'old', 'honest yet');
    const before = await run('bucket', 'root', BUCKET, '--dir', at('g1'), '--out', at('before.root'), '--list', at('before.list'));
    expect(before).toMatchObject({ code: 0, rows: [{ count: 3 }] });
    const since = String(Date.now());
    await new Promise((resolve) => setTimeout(resolve, 10));
    await put(thief, 'a', 'ransom');
    await thief.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'b' }));
    await put(thief, 'c', 'planted');

    const { id } = JSON.parse(fs.readFileSync(at('g0.json'), 'utf8')) as { id: string };
    expect(await run('writer', 'revoke', id, '--dir', at('g1'), '--admin', at('a'))).toMatchObject({ code: 0, rows: [{ event: 'revoked', needed: 3 }] });
    await expect(put(thief, 'd', 'late')).rejects.toThrow();
    const { rows } = await run('writer', 'list', '--dir', at('g1'));
    expect(rows.map(({ gatewayId, revokedMs }) => [gatewayId === id, revokedMs !== null])).toEqual([[true, true], [false, false]]);

    const listed = await run('writer', 'writes', id, '--since', since, '--dir', at('g1'), '--bucket', BUCKET);
    expect(listed.rows.map(({ what, key }) => `${String(what)} ${String(key)}`).slice(0, -1).sort()).toEqual(['marker b', 'object a', 'object c']);
    const restore = ['writer', 'restore', id, '--since', since, '--bucket', BUCKET, '--dir', at('g1'), '--endpoint', doorOf(1)];
    expect(await run(...restore, '--dry-run')).toMatchObject({ code: 0 });
    expect(await get('a')).toBe('ransom');
    expect(await run(...restore)).toMatchObject({ code: 0 });
    expect([await get('a'), await get('b'), await get('c'), await get('old')]).toEqual(['good a', 'good b', 'NoSuchKey', 'honest yet']);
    const again = await run(...restore);
    expect(again.rows.at(-1)).toMatchObject({ restored: 0, marked: 0, kept: 3, lost: 0 });

    expect(await run('bucket', 'compare', at('before.root'), '--dir', at('g1'), '--list', at('before.list'))).toMatchObject({ code: 0 });
    const then = await run('ls', BUCKET, '--as-of', at('before.root'), '--dir', at('g1'));
    expect(then.rows.map(({ key }) => key)).toEqual(['a', 'b', 'old']);
    expect(await run('bucket', 'prove', BUCKET, 'b', '--root', at('before.root'), '--out', at('b.proof'), '--dir', at('g1'))).toMatchObject({ code: 0 });
    expect(await run('bucket', 'verify', '--proof', at('b.proof'), '--config', at('a', 'cluster.cfg'))).toMatchObject({ code: 0, rows: [{ key: 'b' }] });
    const changed = fs.readFileSync(at('before.list'), 'utf8').replace('"key":"b"', '"key":"bb"');
    fs.writeFileSync(at('before.list'), changed);
    expect(await run('bucket', 'compare', at('before.root'), '--dir', at('g1'), '--list', at('before.list'))).toMatchObject({ code: 3 });
    for (const client of [thief, good]) client.destroy();
  }, TIMEOUT_MS);
});
