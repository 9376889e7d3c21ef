/**
 * A hang stops the thread that would notice it. So another thread watches: the input under test lies in shared
 * memory, and when one takes longer than the bound, the watchdog prints it with the line that replays it and
 * ends the process.
 */
import { Worker } from 'node:worker_threads';

const NOTE_BYTES_MAX = 1024;
/** Of 32-bit words: running number of the input (even: none is under test), bytes of note and of input. */
const HEADER_WORDS = 4;

// Plain JavaScript, because a worker is loaded without the tools that read TypeScript.
const WATCH = `
const { workerData } = require('node:worker_threads');
const fs = require('node:fs');
const words = new Int32Array(workerData.shared, 0, ${HEADER_WORDS});
const bytes = Buffer.from(workerData.shared, ${HEADER_WORDS * 4});
let seen = -1;
let since = 0;
setInterval(() => {
  const now = Atomics.load(words, 0);
  if (now !== seen) [seen, since] = [now, Date.now()];
  if (now % 2 === 0 || Date.now() - since < workerData.limitMs) return;
  const note = bytes.subarray(0, words[1]).toString();
  const input = bytes.subarray(${NOTE_BYTES_MAX}, ${NOTE_BYTES_MAX} + words[2]).toString('base64');
  fs.writeSync(2, '\\nHANG: an input takes longer than ' + workerData.limitMs + ' ms\\n  input  ' + input + '\\n  replay ' + note + '\\n');
  process.kill(process.pid, 'SIGKILL');
}, 250);
`;

export class Watchdog {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  /** Longer inputs are printed up to `inputBytesMax`. */
  constructor(limitMs: number, inputBytesMax: number) {
    const shared = new SharedArrayBuffer(HEADER_WORDS * 4 + NOTE_BYTES_MAX + inputBytesMax);
    this.#words = new Int32Array(shared, 0, HEADER_WORDS);
    this.#bytes = new Uint8Array(shared, HEADER_WORDS * 4);
    new Worker(WATCH, { eval: true, workerData: { shared, limitMs } }).unref();
  }

  /** From now this input is under test; `note` says how to replay it. */
  begin(input: Uint8Array, note: string): void {
    const noteBytes = Buffer.from(note).subarray(0, NOTE_BYTES_MAX);
    const shown = input.subarray(0, this.#bytes.length - NOTE_BYTES_MAX);
    this.#bytes.set(noteBytes);
    this.#bytes.set(shown, NOTE_BYTES_MAX);
    this.#words[1] = noteBytes.length;
    this.#words[2] = shown.length;
    Atomics.add(this.#words, 0, 1);
  }

  end(): void {
    Atomics.add(this.#words, 0, 1);
  }
}
