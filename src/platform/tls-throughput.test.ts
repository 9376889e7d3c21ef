/**
 * A look at the speed of the transport, both ends in one process: printed for people, judged by bench/. What
 * is asserted is that every byte counted was also received.
 */
import { expect, test } from 'vitest';
import { EMPTY } from '../base/bytes.ts';
import type { FrameHandler } from '../base/ports.ts';
import { listenTls } from './tls-listener.ts';
import { TlsTransport } from './tls-transport.ts';
import { CountingTelemetry, identityOf, keyOf, testClock } from './tls-world.contract.ts';
import { PATIENT, frameOf } from './transport.contract.ts';

const IN_FLIGHT = 16;
const RUN_MS = 250;

test.each([1024 * 1024, 64 * 1024, 4 * 1024])('payloads of %i bytes go out and come back', async (bytes) => {
  const telemetry = new CountingTelemetry();
  const payload = new Uint8Array(bytes).fill(7);
  let received = 0;
  const handler: FrameHandler = (_from, frame) => {
    received += frame.payload.length;
    return Promise.resolve(frame.payload.length === 0 ? { body: EMPTY, payload } : frameOf(''));
  };
  const allowed = new Set([await keyOf('gateway')]);
  const listener = await listenTls({
    address: '127.0.0.1:0',
    identity: await identityOf('node'),
    allowedPeers: () => allowed,
    handler,
    telemetry,
    clock: testClock,
  });
  const transport = new TlsTransport({ identity: await identityOf('gateway'), telemetry, clock: testClock });
  const channel = transport.open(listener.address, await keyOf('node'));

  const rates: string[] = [];
  for (const [name, request] of [['put', { body: EMPTY, payload }], ['get', frameOf('')]] as const) {
    const start = performance.now();
    let answers = 0;
    let answered = 0;
    const asker = async (): Promise<void> => {
      while (performance.now() - start < RUN_MS) {
        const answer = await channel.request(request, PATIENT);
        answered += answer.payload.length;
        answers += 1;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, asker));
    expect(name === 'put' ? received : answered).toBe(answers * bytes);
    const seconds = (performance.now() - start) / 1000;
    const megabytes = (answers * bytes) / 1e6;
    rates.push(`${name} ${(megabytes / seconds).toFixed(0)} MB/s ${(answers / seconds).toFixed(0)}/s`);
  }
  console.log(`transport, ${bytes} bytes: ${rates.join(', ')}`);
  await transport.close();
  await listener.close();
});
