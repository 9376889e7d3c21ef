import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeDisk } from '../platform/disk.ts';
import { ShiftedClock, CountingTelemetry } from '../gateway/s3/s3-world.contract.ts';
import { OwnerKeys } from '../keyring/owner-keys.ts';
import { findOwnerKey, readKeyUse, REGISTER_FILE } from './access-folder.ts';
import { FileCredentials } from './file-credentials.ts';
import { readAccessKeys, readRootSecret } from './gateway-folder.ts';
import { gatewayInit } from './init-commands.ts';
import { KeyUseFile } from './key-use-file.ts';
import { runProgram } from './program.ts';

class Captured extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Monotonic time, too, is moved by a test. */
class MovedClock extends ShiftedClock {
  override monotonicMs(): number {
    return super.monotonicMs() + this.shiftMs;
  }
}

interface Made {
  readonly account: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

let dir = '';
let clock: MovedClock;
let telemetry: CountingTelemetry;

beforeEach(async () => {
  dir = path.join(fs.mkdtempSync(path.join(tmpdir(), 'holdfast-access-')), 'g');
  await gatewayInit({ dir, ownerFrom: undefined });
  clock = new MovedClock();
  telemetry = new CountingTelemetry();
});

afterEach(() => fs.rmSync(path.dirname(dir), { recursive: true, force: true }));

async function run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new Captured(), new Captured()];
  const code = await runProgram(['access', ...args, '--dir', dir], { stdout, stderr });
  return { code, out: stdout.text, err: stderr.text };
}

async function create(...args: readonly string[]): Promise<Made> {
  const { code, out, err } = await run('create', '--json', ...args);
  expect(code, err).toBe(0);
  return JSON.parse(out) as Made;
}

const ownerId = async (): Promise<string> => new OwnerKeys(await readRootSecret(new NodeDisk(dir))).ownerId;

async function credentials(): Promise<FileCredentials> {
  return await FileCredentials.open({ folder: dir, disk: new NodeDisk(dir), ownerId: await ownerId(), clock, telemetry });
}

const given = (name: string, text: string): string => {
  const file = path.join(path.dirname(dir), name);
  fs.writeFileSync(file, text);
  return file;
};

const READ_ONLY = JSON.stringify({ Statement: [{ Effect: 'Allow', Action: 's3:Get*', Resource: 'arn:aws:s3:::box/*' }] });

describe('access create', () => {
  it('makes a key of the owner, and shows its secret this once', async () => {
    const made = await create();
    expect(made.account).toBe(await ownerId());
    const found = await (await credentials()).lookup(made.accessKeyId);
    expect(found?.secretAccessKey).toBe(made.secretAccessKey);
    expect((await run('list')).out).not.toContain(made.secretAccessKey);
    expect(fs.statSync(path.join(dir, REGISTER_FILE)).mode & 0o777).toBe(0o600);
  });

  it('makes an account by its name once, and finds it by name, id and e-mail address', async () => {
    const first = await create('--account', 'Ann', '--email', 'ann@example.com');
    const second = await create('--account', 'Ann');
    expect(first.account).toMatch(/^[0-9a-f]{64}$/);
    expect(second.account).toBe(first.account);
    expect((await create('--account', first.account)).account).toBe(first.account);
    const store = await credentials();
    expect(await store.byEmail('ANN@example.com')).toEqual(await store.byId(first.account));
    expect((await store.byId(first.account))?.displayName).toBe('Ann');
    expect((await run('create', '--account', 'Bob', '--email', 'ann@example.com')).code).not.toBe(0);
  });

  it('keeps policy, rates and expiry', async () => {
    const policy = given('policy.json', READ_ONLY);
    const made = await create('--policy', policy, '--expires-days', '2', '--requests-per-second', '5', '--bytes-per-second', '1000');
    const store = await credentials();
    const found = await store.lookup(made.accessKeyId);
    expect(found?.policy?.statements).toHaveLength(1);
    expect(found?.limits).toEqual({ requestsPerSecond: 5, bytesPerSecond: 1000 });
    clock.shiftMs = 2 * 24 * 3600_000 + 1000;
    expect(await store.lookup(made.accessKeyId)).toBeUndefined();
  });

  it('refuses a policy that would not be enforced as it is written', async () => {
    const policy = given('policy.json', READ_ONLY.replace('s3:Get*', 's3:Fly'));
    const { code, err } = await run('create', '--policy', policy);
    expect(code).toBe(2);
    expect(err).toContain('invalid action');
  });
});

describe('a running gateway', () => {
  it('sees a new key within a second, and misses a revoked one as soon', async () => {
    const store = await credentials();
    const made = await create();
    clock.shiftMs += 1000;
    expect((await store.lookup(made.accessKeyId))?.secretAccessKey).toBe(made.secretAccessKey);
    expect((await run('revoke', made.accessKeyId)).code).toBe(0);
    clock.shiftMs += 1000;
    expect(await store.lookup(made.accessKeyId)).toBeUndefined();
  });

  it('goes on with what it knew while the register cannot be read, and says so', async () => {
    const made = await create();
    const store = await credentials();
    fs.writeFileSync(path.join(dir, REGISTER_FILE), '{');
    clock.shiftMs += 1000;
    expect(await store.lookup(made.accessKeyId)).toBeDefined();
    expect(telemetry.events).toContain('access_not_reloaded');
  });

  it('opens nothing with a key whose policy it cannot read', async () => {
    const made = await create('--policy', given('policy.json', READ_ONLY));
    const file = path.join(dir, REGISTER_FILE);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('s3:Get*', 's3:Fly'));
    expect(await (await credentials()).lookup(made.accessKeyId)).toBeUndefined();
  });

  it('keeps when each key was last used, over restarts', async () => {
    const made = await create();
    const disk = new NodeDisk(dir);
    const use = { lastUsedMs: 1_700_000_000_000, requests: 2, bytesIn: 10, bytesOut: 20 };
    for (let i = 0; i < 2; i += 1) {
      const file = await KeyUseFile.open({ disk, clock, telemetry, uses: () => new Map([[made.accessKeyId, use]]) });
      await file.close();
    }
    expect((await readKeyUse(disk)).get(made.accessKeyId)).toEqual({ ...use, requests: 4, bytesIn: 20, bytesOut: 40 });
    expect((await run('list')).out).toMatch(new RegExp(`${made.accessKeyId}.*used 2023-11-14`));
  });
});

describe('quotas', () => {
  it('of a bucket, an account and the owner are seen by a running gateway, listed, and end', async () => {
    const store = await credentials();
    const { account } = await create('--account', 'Ann');
    for (const args of [['--bucket', 'box'], ['--account', 'Ann'], ['--account', 'owner']]) expect((await run('quota', ...args, '--bytes', '1024')).code).toBe(0);
    clock.shiftMs += 1000;
    expect(await Promise.all([store.bucketQuota('box'), store.accountQuota(account), store.accountQuota(await ownerId())])).toEqual([1024, 1024, 1024]);
    expect((await run('list')).out).toMatch(/quotas:\n.*Ann.*1.0 KiB/);
    await run('quota', '--bucket', 'box');
    await run('quota', '--account', 'Ann');
    clock.shiftMs += 1000;
    expect(await Promise.all([store.bucketQuota('box'), store.accountQuota(account)])).toEqual([undefined, undefined]);
    expect((await run('quota', '--account', 'Nobody', '--bytes', '1')).code).toBe(4);
    expect((await run('quota', '--bytes', '1')).code).toBe(2);
  });
});

describe('rotate and revoke', () => {
  it('rotate gives a new key the terms of the old one, and ends the old one at once', async () => {
    const made = await create('--account', 'Ann', '--requests-per-second', '7');
    const { out } = await run('rotate', made.accessKeyId, '--json');
    const rotated = JSON.parse(out) as Made;
    const store = await credentials();
    expect(await store.lookup(made.accessKeyId)).toBeUndefined();
    const found = await store.lookup(rotated.accessKeyId);
    expect(found?.account.displayName).toBe('Ann');
    expect(found?.limits?.requestsPerSecond).toBe(7);
    expect(rotated.secretAccessKey).not.toBe(made.secretAccessKey);
  });

  it('rotate can let the old one go on for some hours', async () => {
    const made = await create();
    await run('rotate', made.accessKeyId, '--keep-old-hours', '1');
    const store = await credentials();
    expect(await store.lookup(made.accessKeyId)).toBeDefined();
    clock.shiftMs = 3601_000;
    expect(await store.lookup(made.accessKeyId)).toBeUndefined();
  });

  it('the key that init made can be rotated away, and the commands of the cluster find the new one', async () => {
    const disk = new NodeDisk(dir);
    const [first] = await readAccessKeys(disk);
    const { out } = await run('rotate', first?.accessKeyId ?? '', '--json');
    expect(await readAccessKeys(disk)).toEqual([]);
    expect(await (await credentials()).lookup(first?.accessKeyId ?? '')).toBeUndefined();
    expect((await findOwnerKey(disk, Date.now()))?.accessKeyId).toBe((JSON.parse(out) as Made).accessKeyId);
  });

  it('says that there is no such key', async () => {
    for (const command of ['rotate', 'revoke']) expect((await run(command, 'AAAAAAAAAAAAAAAAAAAA')).err).toContain('no such access key');
  });

  it('two commands at once do not lose each other', async () => {
    const made = await Promise.allSettled([run('create'), run('create'), run('create')]);
    const done = made.filter((result) => result.status === 'fulfilled' && result.value.code === 0).length;
    const { out } = await run('list', '--json');
    expect((JSON.parse(out) as { keys: unknown[] }).keys).toHaveLength(1 + done);
  });
});
