/**
 * Posts events to webhooks (gateway/s3/notification/): TLS with the system's trust, or plain HTTP to this
 * machine. Follows no redirect, sends no credential but the signature, reads nothing of the answer but its
 * head, and never waits longer than it is told to.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { OperationError } from '../base/errors.ts';
import { isLoopback } from './http-server.ts';

export interface OutgoingPost {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
}

/** Resolves with the status. Rejects with UNREACHABLE, and for a plain address that is not this machine. */
export function postWebhook({ url, headers, body, timeoutMs }: OutgoingPost, signal: AbortSignal): Promise<number> {
  const target = new URL(url);
  const isPlain = target.protocol === 'http:';
  return new Promise((resolve, reject) => {
    const failed = (cause?: unknown): void =>
      reject(new OperationError('UNREACHABLE', 'the webhook did not answer', { cause }));
    const outgoing = (isPlain ? httpRequest : httpsRequest)(target, {
      method: 'POST',
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
      agent: false,
      signal,
    });
    const late = setTimeout(() => {
      failed();
      outgoing.destroy();
    }, timeoutMs);
    outgoing.on('socket', (socket) => {
      // The name of a plain URL was checked; what it resolves to counts.
      socket.once('connect', () => {
        if (isPlain && !isLoopback(socket.remoteAddress)) outgoing.destroy(new Error('not this machine'));
      });
    });
    outgoing.on('error', failed);
    outgoing.on('response', (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    outgoing.on('close', () => clearTimeout(late));
    outgoing.end(body);
  });
}
