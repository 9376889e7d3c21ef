/**
 * HTTP as the S3 front sees it: a request and a response as values, without sockets, so that the same front
 * answers in a real process (platform/http-server.ts) and in the simulator. Header and target strings are
 * byte strings: one character a byte, exactly as they came over the wire, because signatures cover bytes.
 */
import { fromMapKey, mapKey, utf8 } from '../../base/bytes.ts';

/** Keeps a leading byte order mark: without it two different keys would become one. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export type HeaderField = readonly [name: string, value: string];

/** Header fields in the order of arrival, looked up without regard to case. */
export class Headers {
  readonly #values = new Map<string, string[]>();

  constructor(fields: Iterable<HeaderField>) {
    for (const [name, value] of fields) {
      const key = name.toLowerCase();
      const known = this.#values.get(key);
      if (known === undefined) this.#values.set(key, [value]);
      else known.push(value);
    }
  }

  /** The value, its fields joined by a comma as RFC 9110 section 5.3 says; undefined when absent. */
  get(name: string): string | undefined {
    return this.#values.get(name)?.join(',');
  }

  /** The values of every field of this name. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Lower-case names, each once. */
  names(): IterableIterator<string> {
    return this.#values.keys();
  }
}

export interface HttpRequest {
  readonly method: string;
  /** Path and query exactly as sent, still percent-encoded. */
  readonly target: string;
  readonly headers: Headers;
  /**
   * The framed body, readable once. Nothing is read before the first `next()`, and a client that sent
   * `Expect: 100-continue` is told to go on only then. Rejects with DISCONNECTED when the client goes away.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** Came over TLS, or from this machine: only then may a payload go unsigned. */
  readonly confidential: boolean;
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

/** From request to response. Rejects on a broken invariant only (base/assert.ts). */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

/** Text of a byte string that must be UTF-8; undefined when it is not. */
export function textOfBytes(byteString: string): string | undefined {
  try {
    return strictUtf8.decode(fromMapKey(byteString));
  } catch {
    return undefined;
  }
}

/** The byte string that carries `text` as UTF-8 in a header. */
export function bytesOfText(text: string): string {
  return mapKey(utf8(text));
}
