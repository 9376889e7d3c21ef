/**
 * The HTTP port: a request and a response as values, without sockets, so that one front answers in a real
 * process (platform/http-server.ts) and in the simulator. Header and target strings are byte strings: one
 * character a byte, exactly as they came over the wire, because signatures cover bytes.
 */

export type HeaderField = readonly [name: string, value: string];

export interface HttpRequest {
  readonly method: string;
  /** Path and query exactly as sent, still percent-encoded. */
  readonly target: string;
  /** In the order and the spelling of arrival, repeated ones repeated. */
  readonly headers: readonly HeaderField[];
  /**
   * The framed body, readable once. Nothing is read before the first `next()`, and a client that sent
   * `Expect: 100-continue` is told to go on only then. Rejects with DISCONNECTED when the client goes away.
   */
  readonly body: AsyncIterable<Uint8Array>;
  readonly scheme: 'http' | 'https';
  /** Came over TLS, or from this machine: only then may a payload go unsigned. */
  readonly confidential: boolean;
  /** IP address of the peer, where the listener knows it. */
  readonly remoteAddress?: string | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: readonly HeaderField[];
  /**
   * What follows the head. A stream whose `Content-Length` is given must yield exactly that much; when it
   * rejects, the listener cuts the connection, so that the client sees a broken answer and never a short one.
   */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** Called once by the listener when the answer was sent or given up: frees what the request held. */
  readonly release?: () => void;
}

/** From request to response. Rejects on a broken invariant only (assert.ts). */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;
