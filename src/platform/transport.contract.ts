/**
 * What every Transport keeps (base/ports.ts), as one suite that each implementation runs: the TLS one over
 * loopback and the one in memory. What only one of them can do is tested beside it.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EMPTY, fromUtf8, utf8 } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { FRAME_BODY_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { Channel, Frame, FrameHandler, PeerConnection, PeerKey, Transport } from '../base/ports.ts';

export interface ContractListener {
  readonly address: string;
  close(): Promise<void>;
}

/** A small world of processes that are told apart by name; each name has its own key. */
export interface TransportWorld {
  /** The process `name` answers the processes named in `allowed`. Without `address` a free one is taken. */
  listen(options: {
    readonly name: string;
    readonly allowed: readonly string[];
    readonly handler: FrameHandler;
    readonly address?: string;
  }): Promise<ContractListener>;
  transport(name: string): Promise<Transport>;
  key(name: string): Promise<PeerKey>;
  /** Ends every listener and channel. Its listeners wait some 100 ms for requests in flight, not more. */
  close(): Promise<void>;
}

const DAY_MS = 86_400_000;
export const PATIENT = { timeoutMs: 10_000 };

export function frameOf(body: string, payload: Uint8Array = EMPTY): Frame {
  return { body: utf8(body), payload };
}

/** Bytes that differ from position to position, so that a misplaced piece shows. */
export function pattern(length: number, salt: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i += 1) out[i] = (i * 31 + (i >>> 8) * 7 + salt) & 0xff;
  return out;
}

export async function codeOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return 'answered';
  } catch (error) {
    return error instanceof OperationError ? error.code : `not an OperationError: ${String(error)}`;
  }
}

/** A promise and its resolution, for handlers that answer when the test says so. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

const echo: FrameHandler = (_from, frame) => Promise.resolve(frame);

interface ContractState {
  readonly world: TransportWorld;
  open(address: string): Promise<Channel>;
  serve(handler: FrameHandler, address?: string): Promise<ContractListener>;
}

export function transportContract(label: string, makeWorld: () => Promise<TransportWorld>): void {
  describe(`Transport contract: ${label}`, () => {
    let world: TransportWorld;
    beforeEach(async () => {
      world = await makeWorld();
    });
    afterEach(() => world.close());
    const state = (): ContractState => ({
      world,
      open: async (address) => (await world.transport('gateway')).open(address, await world.key('node')),
      serve: (handler, address) =>
        world.listen({
          name: 'node',
          allowed: ['gateway'],
          handler,
          ...(address === undefined ? {} : { address }),
        }),
    });
    requestTests(state);
    failureTests(state);
    connectionTests(state);
    identityTests(state);
    clockTests(state);
  });
}

function requestTests(state: () => ContractState): void {
  test('a request is answered with the body and the payload of the handler', async () => {
    const { open, serve } = state();
    const { address } = await serve((_from, frame) =>
      Promise.resolve(frameOf(`${fromUtf8(frame.body)}!`, frame.payload.map((byte) => byte ^ 1))),
    );
    const answer = await (await open(address)).request(frameOf('hello', Uint8Array.of(2, 4)), PATIENT);
    expect(fromUtf8(answer.body)).toBe('hello!');
    expect(Array.from(answer.payload)).toEqual([3, 5]);
  });

  test('answers come in the order of the handlers, not of the requests', async () => {
    const { open, serve } = state();
    const slow = gate();
    const { address } = await serve(async (_from, frame) => {
      if (fromUtf8(frame.body) === 'slow') await slow.opened;
      return frame;
    });
    const channel = await open(address);
    const order: string[] = [];
    const asked = ['slow', 'a', 'b', 'c'].map(async (name) => {
      order.push(fromUtf8((await channel.request(frameOf(name), PATIENT)).body));
      if (order.length === 3) slow.open();
    });
    await Promise.all(asked);
    expect(order).toEqual(['a', 'b', 'c', 'slow']);
  });

  test('bodies and payloads of every size up to the limit arrive whole, in arrays of their own', async () => {
    const { open, serve } = state();
    const { address } = await serve(echo);
    const channel = await open(address);
    const most = Math.min(FRAME_BODY_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX);
    const asked = [0, 1, 8185, 8186, 64 * 1024, most - 1, most].map(async (size, index) => {
      const sent = { body: pattern(size, index), payload: pattern(size, index + 100) };
      const answer = await channel.request(sent, PATIENT);
      expect(Buffer.compare(answer.body, sent.body)).toBe(0);
      expect(Buffer.compare(answer.payload, sent.payload)).toBe(0);
      expect(answer.payload.buffer.byteLength).toBe(size);
      expect(answer.payload.buffer).not.toBe(sent.payload.buffer);
    });
    await Promise.all(asked);
  });

  test('requests of one channel reach the handler in the order of asking, whatever their size', async () => {
    const { open, serve } = state();
    const arrived: number[] = [];
    const { address } = await serve((_from, frame) => {
      arrived.push(Number(fromUtf8(frame.body)));
      return Promise.resolve(frameOf('', frame.payload.subarray(0, 1)));
    });
    const channel = await open(address);
    const sizes = Array.from({ length: 60 }, (_, i) => (i * 7_919) % 90_000);
    await Promise.all(sizes.map((size, i) => channel.request(frameOf(String(i), pattern(size, i)), PATIENT)));
    expect(arrived).toEqual(sizes.map((_, i) => i));
  });

  test('a thousand requests at once are each answered with their own answer', async () => {
    const { open, serve } = state();
    const { address } = await serve(echo);
    const channel = await open(address);
    const bodies = Array.from({ length: 1000 }, (_, i) => `request ${i} `.repeat(1 + (i % 40)));
    const answers = await Promise.all(bodies.map((body) => channel.request(frameOf(body), PATIENT)));
    expect(answers.map((answer) => fromUtf8(answer.body))).toEqual(bodies);
    expect(channel.connection).toBe(1);
  });
}

function failureTests(state: () => ContractState): void {
  test('a frame above the limit is refused before anything is sent', async () => {
    const { open, serve } = state();
    let asked = 0;
    const { address } = await serve((_from, frame) => {
      asked += 1;
      return Promise.resolve(frame);
    });
    const channel = await open(address);
    const body = { body: new Uint8Array(FRAME_BODY_BYTES_MAX + 1), payload: EMPTY };
    const payload = { body: EMPTY, payload: new Uint8Array(FRAME_PAYLOAD_BYTES_MAX + 1) };
    expect(await codeOf(channel.request(body, PATIENT))).toBe('TOO_LARGE');
    expect(await codeOf(channel.request(payload, PATIENT))).toBe('TOO_LARGE');
    expect(asked).toBe(0);
    expect(channel.connection).toBe(0);
  });

  test('a notice above the limit is refused where it is made, and the connection stays', async () => {
    const { open, serve } = state();
    const { address } = await serve((from, frame) => {
      const codes = [
        { body: new Uint8Array(FRAME_BODY_BYTES_MAX + 1), payload: EMPTY },
        { body: EMPTY, payload: new Uint8Array(FRAME_PAYLOAD_BYTES_MAX + 1) },
      ].map((notice) => {
        try {
          from.notify(notice);
          return 'sent';
        } catch (error) {
          return error instanceof OperationError ? error.code : String(error);
        }
      });
      from.notify(frame);
      return Promise.resolve(frameOf(codes.join()));
    });
    const channel = await open(address);
    const noticed = gate();
    channel.onNotice((notice) => {
      expect(fromUtf8(notice.body)).toBe('try');
      noticed.open();
    });
    expect(fromUtf8((await channel.request(frameOf('try'), PATIENT)).body)).toBe('TOO_LARGE,TOO_LARGE');
    await noticed.opened;
    expect(channel.connection).toBe(1);
  });

  test('a failing handler shows the asking end a code and nothing else', async () => {
    const { open, serve } = state();
    const { address } = await serve((_from, frame) => {
      const what = fromUtf8(frame.body);
      const tooLarge = frameOf('', new Uint8Array(FRAME_PAYLOAD_BYTES_MAX + 1));
      if (what === 'too large') return Promise.resolve(tooLarge);
      if (what === 'busy') return Promise.reject(new OperationError('BUSY', 'the secret queue'));
      if (what === 'disk') return Promise.reject(new OperationError('DISK_ERROR', 'secret folder'));
      throw new Error('secret thrown at once');
    });
    const channel = await open(address);
    const cases = { throws: 'PEER_FAILED', disk: 'PEER_FAILED', busy: 'BUSY', 'too large': 'PEER_FAILED' };
    for (const [what, code] of Object.entries(cases)) {
      const error: unknown = await channel.request(frameOf(what), PATIENT).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code });
      expect(String(error)).not.toContain('secret');
    }
    expect(channel.connection).toBe(1);
  });

  test('TIMEOUT ends the waiting, and a late answer reaches no other request', async () => {
    const { open, serve } = state();
    const slow = gate();
    const { address } = await serve(async (_from, frame) => {
      if (fromUtf8(frame.body) === 'slow') await slow.opened;
      return frame;
    });
    const channel = await open(address);
    expect(await codeOf(channel.request(frameOf('slow'), { timeoutMs: 30 }))).toBe('TIMEOUT');
    const next = channel.request(frameOf('next'), PATIENT);
    slow.open();
    expect(fromUtf8((await next).body)).toBe('next');
    expect(fromUtf8((await channel.request(frameOf('after'), PATIENT)).body)).toBe('after');
    expect(channel.connection).toBe(1);
  });

  test('a signal that aborts rejects with CANCELLED, before and during the request', async () => {
    const { open, serve } = state();
    const arrived = gate();
    const never = gate();
    const { address } = await serve(async (_from, frame) => {
      if (fromUtf8(frame.body) === 'ask') return frame;
      arrived.open();
      await never.opened;
      return frame;
    });
    const channel = await open(address);
    const stop = new AbortController();
    const request = channel.request(frameOf('wait'), { ...PATIENT, signal: stop.signal });
    await arrived.opened;
    stop.abort();
    expect(await codeOf(request)).toBe('CANCELLED');
    const late = channel.request(frameOf('ask'), { ...PATIENT, signal: stop.signal });
    expect(await codeOf(late)).toBe('CANCELLED');
    expect(await codeOf(channel.request(frameOf('ask'), PATIENT))).toBe('answered');
    never.open();
  });

  test('where nobody listens a request is UNREACHABLE', async () => {
    const { open, serve } = state();
    const listener = await serve(echo);
    await listener.close();
    const channel = await open(listener.address);
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
    expect(channel.connection).toBe(0);
  });
}

function connectionTests(state: () => ContractState): void {
  test('a request in flight on a dying connection is DISCONNECTED; a redial changes the number', async () => {
    const { open, serve } = state();
    const arrived = gate();
    const hanging: FrameHandler = async (_from, frame) => {
      if (fromUtf8(frame.body) === 'warm up') return frame;
      arrived.open();
      return new Promise(() => undefined);
    };
    const first = await serve(hanging);
    const channel = await open(first.address);
    await channel.request(frameOf('warm up'), PATIENT);
    expect(channel.connection).toBe(1);
    const lost = codeOf(channel.request(frameOf('hang'), PATIENT));
    await arrived.opened;
    await first.close();
    expect(await lost).toBe('DISCONNECTED');
    await serve(echo, first.address);
    expect(fromUtf8((await channel.request(frameOf('again'), PATIENT)).body)).toBe('again');
    expect(channel.connection).toBe(2);
  });

  test('a listener that closes lets a request in flight finish', async () => {
    const { open, serve } = state();
    const arrived = gate();
    const slow = gate();
    const listener = await serve(async (_from, frame) => {
      arrived.open();
      await slow.opened;
      return frame;
    });
    const asked = (await open(listener.address)).request(frameOf('slow'), PATIENT);
    await arrived.opened;
    const closed = listener.close();
    slow.open();
    expect(fromUtf8((await asked).body)).toBe('slow');
    await closed;
  });

  test('notices arrive in order, with the number of their connection', async () => {
    const { open, serve } = state();
    let peer: PeerConnection | undefined;
    const { address } = await serve((from, frame) => {
      peer = from;
      from.notify(frameOf('one', pattern(100_000, 1)));
      from.notify(frameOf('two'));
      return Promise.resolve(frame);
    });
    const channel = await open(address);
    const seen: (readonly [string, number, number])[] = [];
    const third = gate();
    channel.onNotice((notice, connection) => {
      seen.push([fromUtf8(notice.body), notice.payload.length, connection]);
      if (seen.length === 3) third.open();
    });
    await channel.request(frameOf('watch'), PATIENT);
    peer?.notify(frameOf('three'));
    await third.opened;
    expect(seen).toEqual([['one', 100_000, 1], ['two', 0, 1], ['three', 0, 1]]);
  });

  test('the answering end learns that a connection closed, and may still notify it', async () => {
    const { open, serve } = state();
    const closed = gate();
    let peer: PeerConnection | undefined;
    const { address } = await serve((from, frame) => {
      peer = from;
      from.onClose(closed.open);
      return Promise.resolve(frame);
    });
    const channel = await open(address);
    await channel.request(frameOf('x'), PATIENT);
    await channel.close();
    await closed.opened;
    peer?.notify(frameOf('nobody hears this'));
    const late = gate();
    peer?.onClose(late.open);
    await late.opened;
  });

  test('closing a channel rejects what is in flight as DISCONNECTED and all later requests', async () => {
    const { open, serve } = state();
    const arrived = gate();
    const { address } = await serve(() => {
      arrived.open();
      return new Promise(() => undefined);
    });
    const channel = await open(address);
    const lost = codeOf(channel.request(frameOf('hang'), PATIENT));
    await arrived.opened;
    await channel.close();
    await channel.close();
    expect(await lost).toBe('DISCONNECTED');
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
  });
}

function clockTests(state: () => ContractState): void {
  afterEach(() => {
    vi.restoreAllMocks();
  });
  const systemNow = Date.now;

  test.each([DAY_MS, -DAY_MS])('a time of day that jumps by %d ms ends no request, no wait and no connection', async (byMs) => {
    const { open, serve } = state();
    const arrived = gate();
    const slow = gate();
    const handler: FrameHandler = async (_from, frame) => {
      if (fromUtf8(frame.body) !== 'ask') arrived.open();
      if (fromUtf8(frame.body) === 'slow') await slow.opened;
      if (fromUtf8(frame.body) === 'never') await gate().opened;
      return frame;
    };
    const { address } = await serve(handler);
    const channel = await open(address);
    const [asked, waits] = [channel.request(frameOf('slow'), PATIENT), codeOf(channel.request(frameOf('never'), { timeoutMs: 60 }))];
    const began = performance.now();
    await arrived.opened;
    vi.spyOn(Date, 'now').mockImplementation(() => systemNow() + byMs);
    expect(fromUtf8((await channel.request(frameOf('ask'), PATIENT)).body)).toBe('ask');
    expect(await waits).toBe('TIMEOUT');
    expect(performance.now() - began).toBeGreaterThan(50);
    expect(performance.now() - began).toBeLessThan(5_000);
    slow.open();
    expect(fromUtf8((await asked).body)).toBe('slow');
    expect(channel.connection).toBe(1);
    // And a connection that is made while the clock is wrong.
    expect(await codeOf((await open(address)).request(frameOf('ask'), PATIENT))).toBe('answered');
  });
}

function identityTests(state: () => ContractState): void {
  test('the handler knows who asks, and tells the connections of one peer apart', async () => {
    const { open, serve, world } = state();
    const { address } = await serve((from) => Promise.resolve(frameOf(`${from.peer} ${from.id}`)));
    const [a, b] = [await open(address), await open(address)];
    const ask = async (channel: Channel): Promise<string> =>
      fromUtf8((await channel.request(frameOf(''), PATIENT)).body);
    const answers = [await ask(a), await ask(a), await ask(b)];
    expect(answers.map((answer) => answer.split(' ')[0])).toEqual(Array(3).fill(await world.key('gateway')));
    expect(answers[0]).toBe(answers[1]);
    expect(answers[0]).not.toBe(answers[2]);
    expect(a.peer).toBe(await world.key('node'));
  });

  test('a peer that shows another key than that asked for is FOREIGN_PEER and sees no request', async () => {
    const { serve, world } = state();
    let asked = 0;
    const { address } = await serve((_from, frame) => {
      asked += 1;
      return Promise.resolve(frame);
    });
    const channel = (await world.transport('gateway')).open(address, await world.key('another node'));
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('FOREIGN_PEER');
    expect(asked).toBe(0);
    expect(channel.connection).toBe(0);
  });

  test('a process that is not allowed cannot ask', async () => {
    const { serve, world } = state();
    let asked = 0;
    const { address } = await serve((_from, frame) => {
      asked += 1;
      return Promise.resolve(frame);
    });
    const channel = (await world.transport('stranger')).open(address, await world.key('node'));
    expect(await codeOf(channel.request(frameOf('x'), PATIENT))).toBe('UNREACHABLE');
    expect(asked).toBe(0);
  });
}
