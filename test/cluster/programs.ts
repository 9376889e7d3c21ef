/**
 * Real processes for the cluster tests and the demo: the compiled product, its output line by line, and the
 * members of a cluster folder one by one, so that a test decides who runs, who is killed and who lies.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { askAdmin } from '../../src/cli/admin-socket.ts';
import type { EndpointFile } from '../../src/cli/endpoint-file.ts';
import type { StrategyName } from '../../src/sim/adversaries/strategies.ts';

/** The folder of package.json, from the sources as well as from their compiled form in node_modules/.cache. */
export const root = findRoot(import.meta.dirname);
export const PROGRAM = path.join(root, 'dist', 'cli', 'main.js');
const LYING_NODE = path.join(root, 'node_modules', '.cache', 'companions', 'test', 'adversary', 'lying-node.js');

function findRoot(folder: string): string {
  const file = path.join(folder, 'package.json');
  const isRoot = fs.existsSync(file) && (JSON.parse(fs.readFileSync(file, 'utf8')) as { name?: string }).name === 'holdfast';
  return isRoot ? folder : findRoot(path.dirname(folder));
}

/** Compiles what is stale of the product and the programs beside it. */
export function buildPrograms(): void {
  execFileSync(process.execPath, [path.join(root, 'tools', 'build.mjs'), 'companions'], { stdio: 'inherit' });
}

/** Compiles what is stale of the product alone. */
export function buildProduct(): void {
  execFileSync(process.execPath, [path.join(root, 'tools', 'build.mjs')], { stdio: 'inherit' });
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One process of the product, with what it printed. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  #wake: () => void = () => undefined;
  #isOver = false;

  constructor(args: readonly string[], program: string = PROGRAM) {
    // Over the channel the program learns that this process is gone, however it ended.
    this.child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#wake();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code, signal) => {
        this.#isOver = true;
        this.#wake();
        resolve({ code, signal });
      }),
    );
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The first JSON line with this event; rejects when the process ends without it. */
  async event(name: string, fits: (fields: Record<string, unknown>) => boolean = () => true): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.events().find((fields) => fields['event'] === name && fits(fields));
      if (found !== undefined) return found;
      if (this.#isOver) throw new Error(`the process ended before it said '${name}':\n${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  events(): Record<string, unknown>[] {
    return jsonLines(this.stdout);
  }

  /** What a node or gateway told of itself, whole lines only. */
  told(): Record<string, unknown>[] {
    return jsonLines(this.stderr);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (!this.#isOver) this.child.kill(signal);
    return this.ended;
  }
}

function jsonLines(text: string): Record<string, unknown>[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
}

/** Runs one command to its end. */
export async function runCommand(...args: readonly string[]): Promise<Ended & { readonly stdout: string; readonly stderr: string }> {
  const program = new Program(args);
  const ended = await program.ended;
  return { ...ended, stdout: program.stdout, stderr: program.stderr };
}

export function readEndpointFile(dir: string): EndpointFile {
  return JSON.parse(fs.readFileSync(path.join(dir, 'endpoint.json'), 'utf8')) as EndpointFile;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until `fits` holds; throws with `what` after `timeoutMs`. */
export async function until(what: string, fits: () => boolean | Promise<boolean>, timeoutMs: number = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await fits())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Strategies of `test/adversary/lying-node.ts`: those of the simulator, and its own. */
export type Role = 'correct' | 'down' | 'otherCell' | 'wrong-audits' | StrategyName;

/** The members of a cluster folder that `holdfast up` made, started one by one; nothing is started again. */
export class Members {
  readonly dir: string;
  readonly nodes = new Map<number, Program>();
  #gateway: Program | undefined;

  constructor(dir: string) {
    this.dir = dir;
  }

  nodeFolder(slot: number): string {
    return path.join(this.dir, `node-${slot}`);
  }

  get gatewayFolder(): string {
    return path.join(this.dir, 'gateway');
  }

  /** Starts the nodes in their roles and the gateway at `listen`; resolves when the gateway serves. */
  async start(roles: readonly Role[], listen: string, gatewayProgram: string = PROGRAM): Promise<void> {
    for (const [slot, role] of roles.entries()) if (role !== 'down') this.startNode(slot, role);
    const config = path.join(this.dir, 'cluster.cfg');
    this.#gateway = new Program(['gateway', 'run', '--dir', this.gatewayFolder, '--config', config, '--listen', listen], gatewayProgram);
    await until('the gateway serves', () => this.#isReady(this.gatewayFolder, this.#gateway), 60_000);
  }

  startNode(slot: number, role: Exclude<Role, 'down'> = 'correct'): void {
    const common = ['--dir', this.nodeFolder(slot), '--config', path.join(this.dir, 'cluster.cfg')];
    const program = role === 'correct' ? new Program(['node', 'run', ...common]) : new Program([role, ...common], LYING_NODE);
    this.nodes.set(slot, program);
  }

  /** Resolves true when the node serves, false when its process has ended. */
  async nodeServes(slot: number): Promise<boolean> {
    const program = this.nodes.get(slot);
    if (program === undefined) return false;
    let over = false;
    void program.ended.then(() => (over = true));
    await until(`node ${slot} serves or ends`, async () => over || (await this.#isReady(this.nodeFolder(slot), undefined)), 60_000);
    return !over;
  }

  async #isReady(folder: string, program: Program | undefined): Promise<boolean> {
    if (program !== undefined && program.child.exitCode !== null) throw new Error(`it ended: ${program.stderr}`);
    try {
      return (await askAdmin(folder, '/health/ready')).status === 200;
    } catch {
      return false;
    }
  }

  async status(folder: string): Promise<Record<string, unknown>> {
    return (await askAdmin(folder, '/status')).body as Record<string, unknown>;
  }

  /** Ends a node's process orderly. */
  async stopNode(slot: number): Promise<void> {
    await this.nodes.get(slot)?.stop();
  }

  async kill(slot: number): Promise<void> {
    await this.nodes.get(slot)?.stop('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#gateway?.stop();
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
  }
}
