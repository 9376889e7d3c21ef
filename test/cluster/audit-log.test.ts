/** The audit log of a gateway as a process: read, proven and verified by the commands, and changed behind its back. */
import fs from 'node:fs';
import path from 'node:path';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LiveCluster, PROCESS_MS } from '../show/live-cluster.ts';
import { runCommand, until } from './programs.ts';

interface Line {
  readonly index: number;
  readonly kind: string;
  readonly operation?: string;
  readonly status?: number;
  readonly code?: string | null;
  readonly requestId?: string;
}

describe('the audit log of a running gateway', () => {
  let cluster: LiveCluster;
  const Bucket = 'audited';
  beforeAll(async () => {
    cluster = await LiveCluster.start('audit');
  }, PROCESS_MS);
  afterAll(async () => {
    await cluster.end();
  }, PROCESS_MS);

  async function tail(...filters: readonly string[]): Promise<readonly Line[]> {
    const { stdout, stderr, code } = await runCommand('log', 'tail', '--dir', cluster.dir, '--json', ...filters);
    expect(code, stderr).toBe(0);
    return stdout.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
  }

  it('has what was done and what was refused, proves an entry to anyone, and is anchored on the nodes', async () => {
    const client = cluster.client({ maxAttempts: 1 });
    await client.send(new CreateBucketCommand({ Bucket }));
    await client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'content' }));
    await (await client.send(new GetObjectCommand({ Bucket, Key: 'a' }))).Body?.transformToString();
    const thief = cluster.client({ maxAttempts: 1, credentials: { accessKeyId: 'AKIANOBODY', secretAccessKey: 'guessed' } });
    await expect(thief.send(new GetObjectCommand({ Bucket, Key: 'a' }))).rejects.toMatchObject({ name: 'InvalidAccessKeyId' });
    // A change is there at once, a read or a refusal within a second.
    expect(await tail('--bucket', Bucket, '--key', 'a', '--operation', 'PutObject')).toMatchObject([{ kind: 'request', status: 200 }]);
    await until('the refusal is there', async () => (await tail('--failed')).some(({ code }) => code === 'InvalidAccessKeyId'), 20_000);
    expect((await tail('--bucket', Bucket)).map(({ operation }) => operation)).toEqual(['CreateBucket', 'PutObject', 'GetObject']);
    const [put] = await tail('--operation', 'PutObject');
    const file = path.join(cluster.scratch, 'put.proof');
    await until('a checkpoint is over it', async () => (await runCommand('log', 'prove', put?.requestId ?? '', '--out', file, '--dir', cluster.dir)).code === 0, 60_000);
    expect((await runCommand('log', 'verify', file, '--dir', cluster.dir)).stdout).toContain('PutObject');
    const forged = fs.readFileSync(file);
    forged[forged.length >> 1] = (forged[forged.length >> 1] ?? 0) ^ 1;
    fs.writeFileSync(file, forged);
    expect(await runCommand('log', 'verify', file, '--dir', cluster.dir)).toMatchObject({ code: 3 });
    await until('it is anchored', async () => {
      const { stdout } = await runCommand('log', 'verify', '--dir', cluster.dir, '--json');
      const { anchored = 0 } = JSON.parse(stdout.split('\n')[0] ?? '{}') as { anchored?: number };
      return anchored > 0;
    }, 60_000);
  }, PROCESS_MS);

  it('that is cut or changed is not the one that was anchored', async () => {
    const folder = path.join(cluster.dir, 'gateway', 'audit');
    const segment = path.join(folder, fs.readdirSync(folder).filter((name) => name.startsWith('segment-'))[0] ?? '');
    const bytes = fs.readFileSync(segment);
    const at = bytes.indexOf('PutObject');
    expect(at).toBeGreaterThan(0);
    fs.writeFileSync(segment, Buffer.concat([bytes.subarray(0, at), Buffer.from('GetObject'), bytes.subarray(at + 9)]));
    expect(await runCommand('log', 'verify', '--dir', cluster.dir)).toMatchObject({ code: 3 });
    // The first entries alone are a log that is whole in itself: the nodes tell that it went on.
    fs.writeFileSync(segment, bytes.subarray(0, at - 200));
    const cut = await runCommand('log', 'verify', '--dir', cluster.dir);
    expect(cut.stdout).toContain('the rest was cut off');
    expect(cut).toMatchObject({ code: 3 });
    fs.writeFileSync(segment, bytes);
  }, PROCESS_MS);
});
