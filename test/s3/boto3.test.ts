/**
 * boto3's repertoire (boto3_repertoire.py): keys, metadata, ranges, conditions, listings, copies, multipart with
 * checksums, versions, tags, locks, presigned URLs, signed forms, keys of the client, documents of a bucket.
 * Not run where there is no boto3.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROCESS_MS } from '../show/live-cluster.ts';
import { ENDPOINTS, clientEnvironment, here } from './endpoints.ts';
import type { ClientEndpoint } from './endpoints.ts';

const SCRIPT = here('boto3_repertoire.py');
const IS_HERE = spawnSync('python3', ['-c', 'import boto3'], { stdio: 'ignore' }).status === 0;
if (!IS_HERE) process.stdout.write('NOT RUN: test/s3/boto3.test.ts, because python3 with boto3 is not installed\n');

const ACTS = IS_HERE ? spawnSync('python3', [SCRIPT, '--list'], { encoding: 'utf8' }).stdout.trim().split('\n') : [];

interface Told {
  readonly act: string;
  readonly ok: boolean;
  readonly reason?: string;
}

/** Runs the whole repertoire in one process; rejects when that ends before all is told. */
async function perform(endpoint: ClientEndpoint, home: string): Promise<Map<string, Told>> {
  const child = spawn('python3', [SCRIPT], { env: clientEnvironment(endpoint, home), stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(code, errors).toBe(0);
  const told = out.trim().split('\n').map((line) => JSON.parse(line) as Told);
  return new Map(told.map((one) => [one.act, one]));
}

describe.runIf(IS_HERE).each(ENDPOINTS)('boto3 $name', (against) => {
  let endpoint: ClientEndpoint;
  let told: Map<string, Told>;
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-boto3-'));

  beforeAll(async () => {
    endpoint = await against.start();
    told = await perform(endpoint, home);
  }, 4 * PROCESS_MS);
  afterAll(async () => {
    await endpoint?.close();
    fs.rmSync(home, { recursive: true, force: true });
  }, PROCESS_MS);

  it.each(ACTS.map((act) => [act.replaceAll('_', ' '), act]))('%s', (_name, act) => {
    const one = told.get(act);
    expect(one?.ok, one?.reason ?? 'it was not reached').toBe(true);
  });
});
