/**
 * The limit for a store of this kind: what remains when everything that makes it a store is left out. An
 * HTTP front, sealing, coding, hashing, mutual TLS to n node processes, each of which hashes on arrival,
 * appends, syncs and signs one receipt; a read fetches k cells and checks them. No manifests, certificates,
 * listing, versions, signatures of requests, or recovery. The product is measured as a ratio to this in the
 * same run. `node bare-store.js gateway DIR` prints one JSON line when it serves.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { concat, EMPTY, equal, utf8 } from '../src/base/bytes.ts';
import { CELL_BYTES_DEFAULT } from '../src/base/limits.ts';
import type { Channel, Telemetry } from '../src/base/ports.ts';
import { codeStripe, openStripe } from '../src/client/stripe-code.ts';
import { aeadKey, sha256, signingKeyFromSeed, verifySignature } from '../src/crypto/primitives.ts';
import { wasmCodec } from '../src/erasure/wasm.ts';
import { WorkspacePool } from '../src/erasure/workspace.ts';
import { CellJournal } from '../src/journal/cell-journal.ts';
import type { Pointer } from '../src/journal/pointer.ts';
import { SystemClock } from '../src/platform/clock.ts';
import { NodeDisk } from '../src/platform/disk.ts';
import { SystemRandom } from '../src/platform/random.ts';
import { makeTlsIdentity } from '../src/platform/tls-identity.ts';
import { listenTls } from '../src/platform/tls-listener.ts';
import { TlsTransport } from '../src/platform/tls-transport.ts';
import { stripeCount, stripePlainBytes } from '../src/protocol/stripes.ts';

const K = 4;
const N = 6;
const WINDOW = 4;
const SILENT: Telemetry = { count: () => undefined, event: () => undefined };
const seedOf = (name: string): Uint8Array => sha256(utf8(`bare store ${name}`));
const TIMEOUT = { timeoutMs: 60_000 };

async function runNode(slot: number, dir: string): Promise<void> {
  const folder = join(dir, `bare-${slot}`);
  mkdirSync(folder, { recursive: true });
  const cells = await CellJournal.open(new NodeDisk(folder), 'cells', seedOf('journal').subarray(0, 16), new SystemRandom());
  cells.recovered();
  const places = new Map<string, Pointer>();
  const signer = signingKeyFromSeed(seedOf(`node ${slot}`));
  const gateway = await makeTlsIdentity({ seed: seedOf('gateway tls'), commonName: 'gateway' });
  const listener = await listenTls({
    address: '127.0.0.1:0',
    identity: await makeTlsIdentity({ seed: seedOf(`tls ${slot}`), commonName: `node ${slot}` }),
    allowedPeers: () => new Set([gateway.peerKey]),
    telemetry: SILENT,
    clock: new SystemClock(),
    handler: async (_from, { body, payload }) => {
      const row = body.subarray(16);
      const name = Buffer.from(body.subarray(0, 16)).toString('hex');
      if (payload.length > 0) {
        if (!equal(sha256(payload), row.subarray(32 * slot, 32 * slot + 32))) throw new Error('cell');
        const pointer = await cells.append(row, payload);
        await cells.sync();
        places.set(name, pointer);
        return { body: signer.sign(body), payload: EMPTY };
      }
      const pointer = places.get(name);
      if (pointer === undefined) throw new Error('unknown cell');
      const record = await cells.read(pointer, 32 * N);
      return { body: EMPTY, payload: record.subarray(32 * N) };
    },
  });
  process.send?.({ address: listener.address });
  process.on('disconnect', () => process.exit(0));
}

interface StoredObject {
  readonly id: number;
  readonly size: number;
  readonly rows: Uint8Array[];
}

class BareGateway {
  readonly #channels: readonly Channel[];
  readonly #workspaces = new WorkspacePool(wasmCodec, { workspaceCount: 8, cellCountMax: N, cellBytesMax: CELL_BYTES_DEFAULT });
  readonly #key = aeadKey(seedOf('data key'));
  readonly #objects = new Map<string, StoredObject>();
  readonly #nodeKeys = Array.from({ length: N }, (_, slot) => signingKeyFromSeed(seedOf(`node ${slot}`)).publicKey);
  #next = 1;

  constructor(channels: readonly Channel[]) {
    this.#channels = channels;
  }

  async put(name: string, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    const id = this.#next++;
    const layout = { k: K, n: N, cellBytes: CELL_BYTES_DEFAULT, size };
    const full = stripePlainBytes(layout);
    const rows: Uint8Array[] = [];
    const flying = new Set<Promise<void>>();
    let chunks: Uint8Array[] = [];
    let held = 0;
    let index = 0;
    const send = async (): Promise<void> => {
      const stripe = index;
      index += 1;
      const plain = chunks;
      chunks = [];
      held = 0;
      const { cells, row } = await codeStripe(this.#workspaces, layout, this.#key, 1, stripe, plain);
      rows[stripe] = row;
      const head = concat(cellName(id, stripe), row);
      const flight = Promise.all(
        this.#channels.map(async (channel, slot) => {
          const receipt = await channel.request({ body: head, payload: cells[slot] ?? EMPTY }, TIMEOUT);
          if (!verifySignature(this.#nodeKeys[slot] ?? EMPTY, head, receipt.body)) throw new Error('receipt');
        }),
      ).then(() => void flying.delete(flight));
      flying.add(flight);
      if (flying.size >= WINDOW) await Promise.race(flying);
    };
    for await (const given of body) {
      let chunk = given;
      while (held + chunk.length >= full) {
        chunks.push(chunk.subarray(0, full - held));
        chunk = chunk.subarray(full - held);
        await send();
      }
      if (chunk.length > 0) {
        chunks.push(chunk);
        held += chunk.length;
      }
    }
    if (held > 0) await send();
    await Promise.all(flying);
    this.#objects.set(name, { id, size, rows });
  }

  sizeOf(name: string): number | undefined {
    return this.#objects.get(name)?.size;
  }

  async *get(name: string): AsyncGenerator<Uint8Array> {
    const object = this.#objects.get(name);
    if (object === undefined) return;
    const layout = { k: K, n: N, cellBytes: CELL_BYTES_DEFAULT, size: object.size };
    const count = stripeCount(layout);
    const ahead: Promise<readonly Uint8Array[]>[] = [];
    for (let stripe = 0; stripe < count + WINDOW; stripe += 1) {
      if (stripe < count) ahead.push(this.#stripe(object, layout, stripe));
      if (stripe >= WINDOW - 1 || stripe >= count) {
        const plain = await ahead.shift();
        if (plain === undefined) return;
        yield* plain;
      }
    }
  }

  async #stripe(object: StoredObject, layout: { k: number; n: number; cellBytes: number; size: number }, stripe: number): Promise<readonly Uint8Array[]> {
    const row = object.rows[stripe] ?? EMPTY;
    const body = concat(cellName(object.id, stripe));
    const cells = new Map<number, Uint8Array>();
    await Promise.all(
      Array.from({ length: K }, async (_, slot) => {
        const channel = this.#channels[slot];
        if (channel === undefined) return;
        const { payload } = await channel.request({ body, payload: EMPTY }, TIMEOUT);
        if (!equal(sha256(payload), row.subarray(32 * slot, 32 * slot + 32))) throw new Error('cell');
        cells.set(slot, payload);
      }),
    );
    const opened = await openStripe(this.#workspaces, layout, this.#key, 1, stripe, cells, row, false);
    if (!opened.ok) throw new Error(opened.fault);
    return opened.plain;
  }
}

function cellName(id: number, stripe: number): Uint8Array {
  const name = new Uint8Array(16);
  const view = new DataView(name.buffer);
  view.setUint32(4, id);
  view.setUint32(12, stripe);
  return name;
}

async function runGateway(dir: string): Promise<void> {
  const children: ChildProcess[] = [];
  const addresses = await Promise.all(
    Array.from({ length: N }, (_, slot) => {
      const child = fork(fileURLToPath(import.meta.url), ['node', String(slot), dir]);
      children.push(child);
      return new Promise<string>((resolve) => child.once('message', (message) => resolve((message as { address: string }).address)));
    }),
  );
  const transport = new TlsTransport({
    identity: await makeTlsIdentity({ seed: seedOf('gateway tls'), commonName: 'gateway' }),
    telemetry: SILENT,
    clock: new SystemClock(),
  });
  const channels = await Promise.all(
    addresses.map(async (address, slot) => {
      const { peerKey } = await makeTlsIdentity({ seed: seedOf(`tls ${slot}`), commonName: `node ${slot}` });
      return transport.open(address, peerKey);
    }),
  );
  const gateway = new BareGateway(channels);
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const name = request.url ?? '/';
    if (request.method === 'PUT') {
      await gateway.put(name, Number(request.headers['content-length']), request as AsyncIterable<Uint8Array>);
      response.end();
      return;
    }
    const size = gateway.sizeOf(name);
    if (size === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-length': size });
    for await (const chunk of gateway.get(name)) {
      if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end();
  };
  const server = http.createServer({ noDelay: true }, (request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    process.stdout.write(`${JSON.stringify({ port, pids: [process.pid, ...children.map((c) => c.pid)] })}\n`);
  });
  process.on('SIGTERM', () => process.exit(0));
}

const [role, first, second] = process.argv.slice(2);
if (role === 'node' && first !== undefined && second !== undefined) await runNode(Number(first), second);
else if (role === 'gateway' && first !== undefined) await runGateway(first);
