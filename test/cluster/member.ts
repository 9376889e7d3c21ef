/** One storage node or gateway as a process that a test starts, kills and stops again and again, on its folder. */
import process from 'node:process';
import { askAdmin } from '../../src/cli/admin-socket.ts';
import type { Ended } from './programs.ts';
import { Program, until } from './programs.ts';

const SERVES_MS = 60_000;
/** Of what a process told, in an error about it. */
const TOLD_CHARS_MAX = 2_000;

export class Member {
  readonly name: string;
  readonly folder: string;
  readonly #args: readonly string[];
  readonly #programs: Program[] = [];
  /** Exits that the test did not ask for. */
  readonly #ends: string[] = [];
  readonly #killed = new Set<Program>();
  #port: number | undefined;

  /** `args` without --dir. The process listens on a port of its own choice. */
  constructor(name: string, folder: string, args: readonly string[]) {
    this.name = name;
    this.folder = folder;
    this.#args = [...args, '--dir', folder, '--listen', '127.0.0.1:0'];
  }

  get #program(): Program | undefined {
    return this.#programs.at(-1);
  }

  get pid(): number | undefined {
    return this.#program?.pid;
  }

  /** Where it listens; undefined until it has said so. */
  get port(): number | undefined {
    if (this.#port !== undefined) return this.#port;
    const listening = this.#program?.told().find(({ event }) => event === 'listening');
    if (listening !== undefined) this.#port = Number(/(\d+)\/?$/.exec(String(listening['address']))?.[1]);
    return this.#port;
  }

  start(): void {
    this.#port = undefined;
    const program = new Program(this.#args);
    this.#programs.push(program);
    void program.ended.then((ended) => this.#noteEnd(program, ended));
  }

  /** Starts it where it may find no room: resolves false when it ended for that reason, true when it serves. */
  async startIfRoom(): Promise<boolean> {
    this.start();
    const program = this.#program;
    let isOver = false;
    void program?.ended.then(() => (isOver = true));
    await until(`${this.name} serves or ends`, async () => isOver || (await this.isReady()), SERVES_MS);
    if (!isOver) return true;
    if (program?.stderr.includes('DISK_FULL') === true) this.#ends.pop();
    return false;
  }

  /** kill -9; resolves when it is gone. */
  kill(): Promise<Ended | undefined> {
    return this.stop('SIGKILL');
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended | undefined> {
    const program = this.#program;
    if (program === undefined) return undefined;
    this.#killed.add(program);
    return program.stop(signal);
  }

  /** SIGSTOP: its connections stay open and nothing is answered. */
  pause(): void {
    if (this.pid !== undefined) process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    if (this.pid !== undefined) process.kill(this.pid, 'SIGCONT');
  }

  async isReady(): Promise<boolean> {
    return askAdmin(this.folder, '/health/ready').then(({ status }) => status === 200, () => false);
  }

  async serves(): Promise<void> {
    await until(`${this.name} serves or ends`, () => this.#ends.length > 0 || this.isReady(), SERVES_MS).catch((cause: unknown) => {
      throw new Error(`${this.name} does not serve; it told:\n${this.#program?.stderr.slice(-TOLD_CHARS_MAX)}`, { cause });
    });
    if (this.#ends.length > 0) throw new Error(this.#ends.join('\n'));
  }

  async status(): Promise<Record<string, unknown>> {
    return (await askAdmin(this.folder, '/status')).body as Record<string, unknown>;
  }

  /** What all its processes have told, in order. */
  told(): Record<string, unknown>[] {
    return this.#programs.flatMap((program) => program.told());
  }

  /** How processes of it ended that nobody had killed or stopped. */
  get unexpectedEnds(): readonly string[] {
    return this.#ends;
  }

  #noteEnd(program: Program, { code, signal }: Ended): void {
    if (!this.#killed.has(program)) this.#ends.push(`${this.name} ended by itself (${signal ?? code}): ${program.stderr.slice(-TOLD_CHARS_MAX)}`);
  }
}
