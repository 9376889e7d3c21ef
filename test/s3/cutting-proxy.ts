/**
 * A TCP proxy in front of the gateway that does what networks do: lets whole requests through and loses their
 * answers, cuts a body short, or damages a byte. Each instruction is spent on the first connection that it
 * fits; all others pass untouched.
 */
import net from 'node:net';

export type Instruction =
  /** Cuts when the answer begins: the request took effect, and its sender does not learn it. */
  | { readonly cut: 'before answer' }
  /** Cuts as soon as the whole request has been passed on: its work is under way. */
  | { readonly cut: 'after request' }
  /** Cuts after so many bytes of the body. */
  | { readonly cut: 'in body'; readonly after: number }
  /** Changes one byte of the body. */
  | { readonly damage: number };

/** What the instruction is for: a request line begins so. */
export interface Order {
  readonly request: string;
  readonly instruction: Instruction;
}

const HEAD_END = Buffer.from('\r\n\r\n');

export class CuttingProxy {
  readonly #server: net.Server;
  readonly #target: number;
  readonly #sockets = new Set<net.Socket>();
  readonly #orders: Order[] = [];
  /** How many connections were cut or damaged. */
  spent = 0;

  static async start(targetPort: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  private constructor(targetPort: number) {
    this.#target = targetPort;
    this.#server = net.createServer((socket) => this.#pass(socket));
  }

  get origin(): string {
    const { port } = this.#server.address() as net.AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  order(request: string, instruction: Instruction): void {
    this.#orders.push({ request, instruction });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(client: net.Socket): void {
    const gateway = net.connect(this.#target, '127.0.0.1');
    const request = new RequestReader((line) => this.#take(line));
    const end = (): void => {
      client.destroy();
      gateway.destroy();
    };
    for (const socket of [client, gateway]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
      // A cut connection ends in an error on either side; 'close' follows it.
      socket.on('error', () => undefined);
    }
    const cut = (): void => {
      this.spent += 1;
      end();
    };
    client.on('data', (chunk: Buffer) => {
      request.add(chunk);
      const { instruction } = request;
      if (instruction !== undefined && 'damage' in instruction && request.damage(chunk, instruction.damage)) this.spent += 1;
      if (instruction !== undefined && 'cut' in instruction && instruction.cut === 'in body' && request.bodyBytes >= instruction.after) {
        gateway.write(chunk.subarray(0, chunk.length - (request.bodyBytes - instruction.after)), cut);
        return;
      }
      gateway.write(chunk, () => {
        if (instruction !== undefined && 'cut' in instruction && instruction.cut === 'after request' && request.isWhole) cut();
      });
    });
    gateway.on('data', (chunk: Buffer) => {
      const { instruction } = request;
      const isInterim = chunk.subarray(0, 12).toString('latin1') === 'HTTP/1.1 100';
      if (instruction !== undefined && 'cut' in instruction && instruction.cut === 'before answer' && !isInterim) cut();
      else client.write(chunk);
      if (!isInterim) request.answered();
    });
  }

  #take(requestLine: string): Instruction | undefined {
    const index = this.#orders.findIndex(({ request }) => requestLine.startsWith(request));
    return index === -1 ? undefined : this.#orders.splice(index, 1)[0]?.instruction;
  }
}

/** Follows the requests of one connection as far as an instruction needs it. */
class RequestReader {
  instruction: Instruction | undefined;
  bodyBytes = 0;
  readonly #choose: (line: string) => Instruction | undefined;
  #head = Buffer.alloc(0);
  #announced = 0;
  #isInBody = false;

  constructor(choose: (line: string) => Instruction | undefined) {
    this.#choose = choose;
  }

  /** Of a request that announces its length. */
  get isWhole(): boolean {
    return this.#isInBody && this.bodyBytes >= this.#announced;
  }

  add(chunk: Buffer): void {
    if (this.#isInBody) {
      this.bodyBytes += chunk.length;
      return;
    }
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf(HEAD_END);
    if (end === -1) return;
    const head = this.#head.subarray(0, end).toString('latin1');
    const isChunked = /^transfer-encoding: *chunked/im.test(head);
    this.#announced = isChunked ? Infinity : Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    this.bodyBytes = this.#head.length - end - HEAD_END.length;
    this.#isInBody = true;
    this.instruction = this.#choose(head);
  }

  /** Changes byte `at` of the body when it stands in this chunk, the last one added. */
  damage(chunk: Buffer, at: number): boolean {
    const index = chunk.length - (this.bodyBytes - at);
    if (!this.#isInBody || index < 0 || index >= chunk.length) return false;
    chunk[index] = (chunk[index] ?? 0) ^ 0x01;
    return true;
  }

  /** Bytes that follow an answer begin the next request. */
  answered(): void {
    if (this.instruction !== undefined || !this.#isInBody) return;
    this.#head = Buffer.alloc(0);
    this.#isInBody = false;
    this.bodyBytes = 0;
  }
}
