/**
 * The admin door of a process: a Unix socket of mode 0600 in its folder, so that the file system decides who
 * may ask. GET /health/live: the process runs; /health/ready: it serves (503 while it does not); /status: one
 * JSON document; and what the role of the process answers beside these. It shows no names of objects and no
 * secrets, and takes no commands.
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import process from 'node:process';
import { isOperationError, OperationError } from '../base/errors.ts';

export const ADMIN_SOCKET = 'admin.sock';
const TIMEOUT_MS = 5_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** A Unix socket's path fits 108 bytes with its ending zero; a longer one is reached relative to a folder. */
const PATH_BYTES_MAX = 107;

export interface AdminOptions {
  readonly folder: string;
  readonly isReady: () => boolean;
  readonly status: () => Promise<object>;
  /** What else it answers, by path; a thrown OperationError is told to who asked. */
  readonly answers?: ReadonlyMap<string, (query: URLSearchParams) => Promise<object>>;
}

export interface AdminListener {
  close(): Promise<void>;
}

export async function listenAdmin(options: AdminOptions): Promise<AdminListener> {
  const file = path.join(options.folder, ADMIN_SOCKET);
  // The folder's lock is held, so a socket that lies here belongs to a process that is gone.
  fs.rmSync(file, { force: true });
  const server = http.createServer({ requestTimeout: TIMEOUT_MS, maxHeaderSize: 8192 }, (request, response) => {
    answer(options, request.method ?? '', request.url ?? '').then(
      ({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(`${JSON.stringify(body)}\n`);
      },
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = 16;
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      inReach(file, (reachable) => server.listen(reachable, resolve));
    });
  } finally {
    process.umask(umask);
  }
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(options: AdminOptions, method: string, url: string): Promise<{ status: number; body: object }> {
  if (method !== 'GET') return { status: 405, body: { error: 'only GET' } };
  if (url === '/health/live') return { status: 200, body: { live: true } };
  if (url === '/health/ready') {
    const ready = options.isReady();
    return { status: ready ? 200 : 503, body: { ready } };
  }
  if (url === '/status') return { status: 200, body: await options.status() };
  const { pathname, searchParams } = new URL(url, 'http://admin.invalid');
  const special = options.answers?.get(pathname);
  if (special !== undefined) return answerSpecial(() => special(searchParams));
  return { status: 404, body: { error: 'ask /health/live, /health/ready or /status' } };
}

async function answerSpecial(special: () => Promise<object>): Promise<{ status: number; body: object }> {
  try {
    return { status: 200, body: await special() };
  } catch (error) {
    if (!isOperationError(error)) throw error;
    return { status: 400, body: { error: error.code, message: error.message } };
  }
}

/** The answer to a GET on the admin socket of a folder. UNREACHABLE when no process listens there. */
export function askAdmin(folder: string, url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  const file = path.join(folder, ADMIN_SOCKET);
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(new OperationError('UNREACHABLE', `No process answers in ${folder}.`, { cause: error, retryable: true }));
    };
    inReach(file, (socketPath) => {
      const request = http.get({ socketPath, path: url, timeout: TIMEOUT_MS }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > ANSWER_BYTES_MAX) request.destroy(new Error('the answer is too long'));
        });
        response.on('error', fail);
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
          } catch (error) {
            fail(error instanceof Error ? error : new Error(String(error)));
          }
        });
      });
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.on('error', fail);
    });
  });
}

/** Calls `use` with a path to the socket that is short enough, from within its folder if need be. */
function inReach(file: string, use: (socketPath: string) => void): void {
  if (Buffer.byteLength(file) <= PATH_BYTES_MAX) {
    use(file);
    return;
  }
  const before = process.cwd();
  process.chdir(path.dirname(file));
  try {
    use(path.basename(file));
  } finally {
    process.chdir(before);
  }
}
