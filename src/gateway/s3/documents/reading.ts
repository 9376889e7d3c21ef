/**
 * What the documents about a bucket have in common. Each is kept as the XML that its GET answers, so that one
 * strict parser reads what a client puts and what the store gives back; what was parsed once is remembered,
 * because a document about CORS or lifecycle is asked about with every request.
 */
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { readXml } from '../http/xml.ts';
import type { ReadElement } from '../http/xml.ts';

/** Documents of so many buckets are remembered; one more, and the oldest is parsed anew when asked about. */
const REMEMBERED_MAX = 256;

/** The children of an element by name, any number of each; a name outside `known` is not built. */
export function groups<Name extends string>(
  parent: ReadElement,
  known: readonly Name[],
): Readonly<Record<Name, readonly ReadElement[]>> {
  const found = Object.fromEntries(known.map((name) => [name, []])) as unknown as Record<Name, ReadElement[]>;
  for (const child of parent.children) {
    const name = known.find((candidate) => candidate === child.name);
    if (name === undefined)
      throw new S3Error('NotImplemented', `The element ${child.name} in ${parent.name} is not built.`);
    found[name].push(child);
  }
  return found;
}

/** The text of an element without children. */
export function plainText({ name, text, children }: ReadElement): string {
  if (children.length > 0) throw new S3Error('MalformedXML', `${name} must be text.`);
  return text;
}

/** A decimal integer from `min` to `max`; `refuse` makes the error for another number. */
export function integerOf(
  element: ReadElement,
  min: number,
  max: number,
  refuse: (message: string) => S3Error,
): number {
  const text = plainText(element).trim();
  if (!/^-?\d{1,15}$/.test(text)) throw new S3Error('MalformedXML', `${element.name} must be a number.`);
  const value = Number(text);
  if (value < min || value > max)
    throw refuse(`${element.name} must be a number from ${String(min)} to ${String(max)}.`);
  return value;
}

/** A reader of kept documents that remembers what it read. `read` throws S3Error for what is not its own. */
export function remembering<T>(rootName: string, read: (root: ReadElement) => T): (text: string) => T | undefined {
  const known = new Map<string, T | undefined>();
  return (text) => {
    if (known.has(text)) return known.get(text);
    const value = orUndefined(() => read(readXml(utf8(text), rootName)));
    const oldest = known.keys().next();
    if (known.size >= REMEMBERED_MAX && oldest.done !== true) known.delete(oldest.value);
    known.set(text, value);
    return value;
  };
}

function orUndefined<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof S3Error) return undefined;
    throw error;
  }
}
