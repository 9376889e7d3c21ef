/**
 * Header fields looked up without regard to case, and the two directions between text and byte strings
 * (base/http.ts). Values are never decoded unless a feature says what they are.
 */
import { fromMapKey, mapKey, utf8 } from '../../../base/bytes.ts';
import type { HeaderField } from '../../../base/http.ts';

/** Keeps a leading byte order mark: without it two different keys would become one. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

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
