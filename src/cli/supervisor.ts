/**
 * Keeps the processes of `holdfast up` running: starts each as a child, waits until it serves, starts it
 * again after a crash with growing pauses, and never again when it said that its state is lost, because a
 * node without its state must not answer as if it had it. Stops children by SIGTERM, then by SIGKILL.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import process from 'node:process';
import { parseChildMessage } from './child-messages.ts';
import { EXIT } from './exit-codes.ts';

const RESTART_MIN_MS = 250;
const RESTART_MAX_MS = 10_000;
/** A child that lived so long has recovered from whatever ended it before. */
const STEADY_MS = 60_000;
const STOP_MS = 15_000;
const LOG_BYTES_MAX = 16 * 1024 * 1024;

/** glibc keeps freed memory instead of returning it, which halves the cost of large buffers (performance.md A). */
const ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: '67108864', MALLOC_TRIM_THRESHOLD_: '268435456' };

export type ChildState = 'starting' | 'serving' | 'waiting' | 'lost' | 'stopped';

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | undefined;
}

export interface ChildOptions {
  readonly name: string;
  /** The program, a JavaScript file, and its arguments. */
  readonly program: string;
  readonly args: readonly string[];
  /** Receives all that the child prints. */
  readonly logFile: string;
  readonly onChange: (child: SupervisedChild) => void;
}

export class SupervisedChild {
  readonly name: string;
  readonly #options: ChildOptions;
  #process: ChildProcess | undefined;
  #state: ChildState = 'starting';
  #failure: Failure | undefined;
  #restarts = 0;
  #pauseMs = RESTART_MIN_MS;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: ChildOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get state(): ChildState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Why it ended last. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    if (this.#stopping) return;
    const log = openLog(this.#options.logFile);
    this.#startedAt = performance.now();
    const child = spawn(process.execPath, [this.#options.program, ...this.#options.args], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, ...ALLOCATOR },
    });
    fs.closeSync(log);
    this.#process = child;
    this.#change('starting');
    let failure: Failure | undefined;
    child.on('message', (value) => {
      const message = parseChildMessage(value);
      if (message?.type === 'serving') this.#change('serving');
      if (message?.type === 'failed') failure = { code: message.code, message: message.message, remedy: message.remedy };
    });
    child.on('error', (error) => {
      failure ??= { code: 'INTERNAL', message: `It cannot be started: ${error.message}.`, remedy: undefined };
      if (child.pid === undefined) this.#ended(null, null, failure);
    });
    child.on('exit', (code, signal) => this.#ended(code, signal, failure));
  }

  #ended(code: number | null, signal: string | null, failure: Failure | undefined): void {
    this.#process = undefined;
    if (this.#stopping) {
      this.#change('stopped');
      return;
    }
    this.#failure = failure ?? {
      code: code === EXIT.lostState ? 'LOST_STATE' : 'CRASHED',
      message: signal === null ? `It ended with exit code ${code}.` : `It was ended by ${signal}.`,
      remedy: undefined,
    };
    if (code === EXIT.lostState) {
      this.#change('lost');
      return;
    }
    if (performance.now() - this.#startedAt >= STEADY_MS) this.#pauseMs = RESTART_MIN_MS;
    this.#timer = setTimeout(() => {
      this.#restarts += 1;
      this.start();
    }, this.#pauseMs);
    this.#pauseMs = Math.min(RESTART_MAX_MS, 2 * this.#pauseMs);
    this.#change('waiting');
  }

  /** Resolves when the process is gone; it will not be started again. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      this.#state = this.#state === 'lost' ? 'lost' : 'stopped';
      return;
    }
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(timer);
  }

  #change(state: ChildState): void {
    this.#state = state;
    this.#options.onChange(this);
  }
}

/** Appends; a log that grew past its bound keeps one predecessor. */
function openLog(file: string): number {
  if (fs.existsSync(file) && fs.statSync(file).size > LOG_BYTES_MAX) fs.renameSync(file, `${file}.1`);
  return fs.openSync(file, 'a', 0o600);
}
