/**
 * Makes the fixture of a release: `npm start -- --script test/compat/make-fixture`. It runs the product in an empty
 * folder, stores a few objects of every kind, stops it cleanly, and keeps each file of the folder compressed under
 * compat/fixtures/VERSION/, with what must be read back in contents.json. Fixtures are never made again: a
 * release's folder is what that release wrote.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { hex } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/primitives.ts';
import { send } from '../../bench/load.ts';
import { startCluster } from '../../bench/up.ts';
import { SOFTWARE_VERSION } from '../../src/base/version.ts';

const target = join('compat', 'fixtures', SOFTWARE_VERSION);
if (existsSync(target)) {
  process.stderr.write(`${target} exists; a release's fixture is never made again\n`);
  process.exit(1);
}
const dir = mkdtempSync(join(tmpdir(), 'holdfast-fixture-'));
const program = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const cluster = await startCluster(program, dir);
const contents: { key: string; size: number; sha256: string }[] = [];

/** Bytes that no compressor shortens, the same for the same size. */
function bytesOf(size: number): Uint8Array {
  const out = new Uint8Array(size);
  for (let at = 0; at < size; at += 32) out.set(sha256(new TextEncoder().encode(`${size} ${at}`)).subarray(0, Math.min(32, size - at)), at);
  return out;
}

await send(cluster, 'PUT', '/fixture', null);
for (const [key, size] of [['empty', 0], ['inline', 1000], ['one-stripe', 20_000], ['two-stripes', 800_000], ['rewritten', 5000]] as const) {
  const body = bytesOf(size);
  await send(cluster, 'PUT', `/fixture/${key}`, body);
  contents.push({ key, size, sha256: hex(sha256(body)) });
}
await send(cluster, 'PUT', '/fixture/rewritten', bytesOf(6000));
contents[4] = { key: 'rewritten', size: 6000, sha256: hex(sha256(bytesOf(6000))) };
await send(cluster, 'PUT', '/fixture/gone', bytesOf(100));
await send(cluster, 'DELETE', '/fixture/gone', null, { status: 204 });
await cluster.stop();

function keep(folder: string): void {
  for (const name of readdirSync(join(dir, folder))) {
    const path = folder === '' ? name : `${folder}/${name}`;
    if (statSync(join(dir, path)).isDirectory()) keep(path);
    else if (!/(^|\/)(lock|LOCK|LOG|LOG\.old)$|\.(log|sock)$/.test(path) || /index\/\d+\.log$/.test(path)) {
      const out = join(target, `${path}.gz`);
      mkdirSync(dirname(out), { recursive: true });
      writeFileSync(out, gzipSync(readFileSync(join(dir, path)), { level: 9 }));
    }
  }
}

keep('');
writeFileSync(join(target, 'contents.json'), `${JSON.stringify({ bucket: 'fixture', contents, gone: ['gone'] }, null, 2)}\n`);
rmSync(dir, { recursive: true, force: true });
process.stdout.write(`written to ${target}\n`);
