/**
 * JSON read strictly, for documents that decide about access: bounded depth, and no name twice in one object,
 * of which another reader might take the other value. Everything else is as in RFC 8259.
 */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly fields: ReadonlyMap<string, Json>;
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && 'fields' in value;
}

export function isJsonArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** Literals and punctuation in one expression; anchored at the reader's position. */
const TOKEN = /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d[\d.eE+-]*|true|false|null))/sy;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  next(): string {
    TOKEN.lastIndex = this.#at;
    const match = TOKEN.exec(this.#text);
    if (match === null) throw new SyntaxError('no token');
    this.#at = TOKEN.lastIndex;
    return match[1] ?? match[2] ?? match[3] ?? '';
  }

  peek(): string {
    const at = this.#at;
    const token = this.next();
    this.#at = at;
    return token;
  }

  value(depth: number): Json {
    const token = this.next();
    if (token === '{') return this.#object(depth);
    if (token === '[') return this.#array(depth);
    if (token.length === 1 && '}],:'.includes(token)) throw new SyntaxError('no value');
    // What is left are scalars, whose escapes and numbers the language's own parser reads.
    return JSON.parse(token) as string | number | boolean | null;
  }

  #object(depth: number): JsonObject {
    if (depth === 0) throw new SyntaxError('too deep');
    const fields = new Map<string, Json>();
    if (this.peek() === '}') {
      this.next();
      return { fields };
    }
    for (;;) {
      const name: unknown = JSON.parse(this.next());
      if (typeof name !== 'string' || fields.has(name) || this.next() !== ':') throw new SyntaxError('bad name');
      fields.set(name, this.value(depth - 1));
      const token = this.next();
      if (token === '}') return { fields };
      if (token !== ',') throw new SyntaxError('no comma');
    }
  }

  #array(depth: number): readonly Json[] {
    if (depth === 0) throw new SyntaxError('too deep');
    const items: Json[] = [];
    if (this.peek() === ']') {
      this.next();
      return items;
    }
    for (;;) {
      items.push(this.value(depth - 1));
      const token = this.next();
      if (token === ']') return items;
      if (token !== ',') throw new SyntaxError('no comma');
    }
  }

  isAtEnd(): boolean {
    return this.#text.slice(this.#at).trim() === '';
  }
}

/** Undefined when it is not JSON, is nested deeper than `depthMax`, or names a field twice. */
export function parseStrictJson(text: string, depthMax: number): Json | undefined {
  try {
    const reader = new Reader(text);
    const value = reader.value(depthMax);
    return reader.isAtEnd() ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
