import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Timer } from '../base/ports.ts';
import { CountingTelemetry } from '../gateway/s3/s3-world.contract.ts';
import { SystemClock } from '../platform/clock.ts';
import { startHttpServer } from '../platform/http-server.ts';
import type { HttpServer } from '../platform/http-server.ts';
import { makeTlsIdentity } from '../platform/tls-identity.ts';
import { CertificateWatch, readCertificate } from './web-certificate.ts';

/** Looks every few milliseconds instead of seconds. */
class HastyClock extends SystemClock {
  override after(delayMs: number, action: () => void): Timer {
    return super.after(delayMs / 100, action);
  }
}

interface Pem {
  readonly cert: string;
  readonly key: string;
}

let folder = '';
let server: HttpServer;
let watch: CertificateWatch;
let telemetry: CountingTelemetry;
let first: Pem;
let second: Pem;
const open: TLSSocket[] = [];

async function pem(fill: number): Promise<Pem> {
  const made = await makeTlsIdentity({ seed: new Uint8Array(32).fill(fill), commonName: `door-${String(fill)}` });
  return { cert: made.certificatePem, key: made.privateKeyPem };
}

const paths = (): Pem => ({ cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') });

/** As certificate renewal does: written aside, then moved into place. */
function put({ cert, key }: Pem): void {
  for (const [file, text] of [
    [paths().key, key],
    [paths().cert, cert],
  ] as const) {
    fs.writeFileSync(`${file}.new`, text);
    fs.renameSync(`${file}.new`, file);
  }
}

/** A real handshake: who answers? */
function shake(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => resolve(socket));
    socket.on('error', reject);
    open.push(socket);
  });
}

const shownTo = (socket: TLSSocket): string => String(socket.getPeerCertificate().subject.CN);

async function shown(): Promise<string> {
  const socket = await shake();
  const name = shownTo(socket);
  socket.destroy();
  return name;
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function answerOn(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (data: Buffer) => resolve(data.toString('latin1')));
    socket.once('close', () => reject(new Error('closed')));
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  });
}

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-certificate-'));
  first = await pem(1);
  second = await pem(2);
  put(first);
  telemetry = new CountingTelemetry();
  server = await startHttpServer({
    handler: () => Promise.resolve({ status: 204, headers: [], body: new Uint8Array(0) }),
    bindAddress: '127.0.0.1',
    port: 0,
    tls: await readCertificate(paths()),
    telemetry,
  });
  watch = new CertificateWatch({ paths: paths(), clock: new HastyClock(), telemetry, renew: (tls) => server.renewTls(tls) });
});

afterEach(async () => {
  watch.stop();
  for (const socket of open.splice(0)) socket.destroy();
  await server.stop(0);
  fs.rmSync(folder, { recursive: true, force: true });
});

test('a new certificate is shown in handshakes from then on, and connections that stand go on', async () => {
  const standing = await shake();
  expect(shownTo(standing)).toBe('door-1');
  put(second);
  await until(async () => (await shown()) === 'door-2');
  expect(await answerOn(standing)).toMatch(/^HTTP\/1\.1 204/);
  expect(shownTo(standing)).toBe('door-1');
});

test('a certificate that does not fit its key, or is none, leaves the old one in place and is told', async () => {
  put({ cert: second.cert, key: first.key });
  await until(() => telemetry.events.includes('certificate_not_loaded'));
  expect(await shown()).toBe('door-1');
  put({ cert: 'no certificate', key: second.key });
  await until(() => (telemetry.counts.get('certificate_not_loaded') ?? 0) >= 2);
  expect(await shown()).toBe('door-1');
  put(second);
  await until(async () => (await shown()) === 'door-2');
});

test('a file that is gone for a while changes nothing', async () => {
  fs.rmSync(paths().cert);
  await until(() => (telemetry.counts.get('certificate_not_loaded') ?? 0) >= 1);
  expect(await shown()).toBe('door-1');
});
