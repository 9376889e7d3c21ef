/**
 * Inputs as trees, for mutations that keep the form and break the meaning: a key dropped or added, a type
 * swapped, a size changed, a part repeated, nested deep or taken from another input. A tree is read from
 * canonical CBOR or from JSON and written again; the writer can also write what no encoder writes (keys twice
 * or out of order, long heads). A byte string that holds an encoding itself is opened, so that what lies
 * inside a signed body is reached too.
 */
import * as dagCbor from '@ipld/dag-cbor';
import { compare, fromUtf8, hex, utf8 } from '../../src/base/bytes.ts';
import { isCanonical } from '../../src/protocol/canonical.ts';
import type { SeededRandom } from '../../src/sim/seeded-random.ts';
import { BYTE_MUTATORS, INTERESTING } from './mutate-bytes.ts';

export type Tree =
  | { t: 'map'; entries: { key: string; value: Tree }[] }
  | { t: 'array'; items: Tree[] }
  | { t: 'bytes'; bytes: Uint8Array }
  /** A byte string that holds the encoding of `inner`. */
  | { t: 'inside'; inner: Tree }
  | { t: 'text'; text: string }
  | { t: 'number'; value: number }
  | { t: 'simple'; value: boolean | null };

export function treeOf(value: unknown): Tree {
  if (value === null || typeof value === 'boolean') return { t: 'simple', value };
  if (typeof value === 'number') return { t: 'number', value };
  if (typeof value === 'string') return { t: 'text', text: value };
  if (value instanceof Uint8Array) return bytesTree(value);
  if (Array.isArray(value)) return { t: 'array', items: value.map(treeOf) };
  if (typeof value !== 'object') return { t: 'simple', value: null };
  return { t: 'map', entries: Object.entries(value).map(([key, item]) => ({ key, value: treeOf(item) })) };
}

function bytesTree(bytes: Uint8Array): Tree {
  const major = (bytes[0] ?? 0) >> 5;
  const holdsEncoding = bytes.length > 4 && (major === 4 || major === 5) && isCanonical(bytes);
  return holdsEncoding ? { t: 'inside', inner: treeOf(dagCbor.decode(bytes)) } : { t: 'bytes', bytes };
}

/** The tree of CBOR bytes, or null for other bytes. */
export function treeOfCbor(bytes: Uint8Array): Tree | null {
  return isCanonical(bytes) ? treeOf(dagCbor.decode(bytes)) : null;
}

export function treeOfJson(bytes: Uint8Array): Tree | null {
  try {
    return treeOf(JSON.parse(fromUtf8(bytes)));
  } catch {
    return null;
  }
}

export interface CborStyle {
  /** Writes maps as they stand: keys twice and out of order. */
  readonly isRough?: boolean;
  /** Asked for each head: may its argument take more bytes than it needs? */
  readonly isWide?: () => boolean;
}

export function writeCbor(tree: Tree, style: CborStyle = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  writeTree(tree, style, parts);
  return new Uint8Array(Buffer.concat(parts));
}

function writeTree(tree: Tree, style: CborStyle, out: Uint8Array[]): void {
  switch (tree.t) {
    case 'map': {
      const entries = style.isRough === true ? tree.entries : canonicalEntries(tree.entries);
      out.push(head(5, entries.length, style));
      for (const { key, value } of entries) {
        const name = utf8(key);
        out.push(head(3, name.length, style), name);
        writeTree(value, style, out);
      }
      return;
    }
    case 'array':
      out.push(head(4, tree.items.length, style));
      for (const item of tree.items) writeTree(item, style, out);
      return;
    case 'inside':
    case 'bytes': {
      const bytes = tree.t === 'bytes' ? tree.bytes : writeCbor(tree.inner, style);
      out.push(head(2, bytes.length, style), bytes);
      return;
    }
    case 'text': {
      const text = utf8(tree.text);
      out.push(head(3, text.length, style), text);
      return;
    }
    case 'number':
      out.push(numberBytes(tree.value, style));
      return;
    case 'simple':
      out.push(Uint8Array.of(tree.value === null ? 0xf6 : tree.value ? 0xf5 : 0xf4));
      return;
  }
}

function canonicalEntries(entries: readonly { key: string; value: Tree }[]): { key: string; value: Tree }[] {
  const byKey = new Map(entries.map((entry) => [entry.key, entry]));
  const order = (a: Uint8Array, b: Uint8Array): number => a.length - b.length || compare(a, b);
  return [...byKey.values()].sort((a, b) => order(utf8(a.key), utf8(b.key)));
}

function numberBytes(value: number, style: CborStyle): Uint8Array {
  if (Number.isInteger(value)) return value >= 0 ? head(0, value, style) : head(1, -1 - value, style);
  const out = new Uint8Array(9);
  out[0] = 0xfb;
  new DataView(out.buffer).setFloat64(1, value);
  return out;
}

function head(major: number, argument: number, style: CborStyle): Uint8Array {
  const first = major << 5;
  const isWide = style.isWide?.() === true;
  if (argument < 24 && !isWide) return Uint8Array.of(first | argument);
  const needed = argument < 2 ** 8 ? 1 : argument < 2 ** 16 ? 2 : argument < 2 ** 32 ? 4 : 8;
  const size = isWide && needed < 8 ? (argument < 24 ? needed : 2 * needed) : needed;
  const out = new Uint8Array(1 + size);
  out[0] = first | (24 + Math.log2(size));
  for (let i = 0, rest = BigInt(Math.min(argument, 2 ** 64 - 2 ** 12)); i < size; i += 1, rest >>= 8n) out[size - i] = Number(rest & 255n);
  return out;
}

export function writeJson(tree: Tree): string {
  switch (tree.t) {
    case 'map':
      return `{${tree.entries.map(({ key, value }) => `${JSON.stringify(key)}:${writeJson(value)}`).join(',')}}`;
    case 'array':
      return `[${tree.items.map(writeJson).join(',')}]`;
    case 'bytes':
      return JSON.stringify(hex(tree.bytes));
    case 'inside':
      return writeJson(tree.inner);
    case 'text':
      return JSON.stringify(tree.text);
    case 'number':
      return String(tree.value);
    case 'simple':
      return String(tree.value);
  }
}

/** One node with the means to put another in its place. */
interface Place {
  readonly tree: Tree;
  readonly depth: number;
  readonly replace: (by: Tree) => void;
}

function placesOf(root: Tree, replaceRoot: (by: Tree) => void): Place[] {
  const places: Place[] = [];
  const visit = (tree: Tree, depth: number, replace: (by: Tree) => void): void => {
    places.push({ tree, depth, replace });
    switch (tree.t) {
      case 'map':
        for (const entry of tree.entries) visit(entry.value, depth + 1, (by) => (entry.value = by));
        return;
      case 'array':
        tree.items.forEach((item, i) => visit(item, depth + 1, (by) => (tree.items[i] = by)));
        return;
      case 'inside':
        visit(tree.inner, depth + 1, (by) => (tree.inner = by));
        return;
      case 'bytes':
      case 'text':
      case 'number':
      case 'simple':
        return;
    }
  };
  visit(root, 0, replaceRoot);
  return places;
}

const ODD_KEYS: readonly string[] = ['__proto__', 'constructor', 'toString', 'then', '', '/', 'bytes', 'asCID', 'length', 'v', 't', 'r', 'a'.repeat(300)];
const ODD_NUMBERS: readonly number[] = [
  ...INTERESTING, -1, -2, -1024, 2 ** 32, 2 ** 40, 2 ** 48, 8.64e15, 8.64e15 + 1, 2 ** 53 - 2, 2 ** 53 - 1, 2 ** 53, 2 ** 63, -(2 ** 53) + 1, -(2 ** 53), 0.5, Number.NaN,
];

function oddTree(random: SeededRandom): Tree {
  return random.pick<() => Tree>([
    () => ({ t: 'simple', value: null }),
    () => ({ t: 'simple', value: random.chance(0.5) }),
    () => ({ t: 'number', value: random.pick(ODD_NUMBERS) }),
    () => ({ t: 'text', text: random.pick(['', 'a', '\u0000', '\ud800', '\ufeff', 'x'.repeat(200), ...ODD_KEYS]) }),
    () => ({ t: 'bytes', bytes: random.bytes(random.pick([0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200])) }),
    () => ({ t: 'array', items: [] }),
    () => ({ t: 'map', entries: [] }),
    () => deepTree(random.pick([2, 15, 16, 17, 18, 100, 600]), random),
  ])();
}

function deepTree(depth: number, random: SeededRandom): Tree {
  let tree: Tree = { t: 'array', items: [] };
  for (let i = 0; i < depth; i += 1) tree = random.chance(0.5) ? { t: 'array', items: [tree] } : { t: 'map', entries: [{ key: 'a', value: tree }] };
  return tree;
}

/** Changes the tree in one place; `others` lend parts. Returns the root, which may be another. */
export function mutateTree(root: Tree, random: SeededRandom, others: readonly Tree[]): Tree {
  let result = root;
  const places = placesOf(root, (by) => (result = by));
  // A tree that has grown so far is not grown further.
  if (places.length > 5_000 || places.some(({ depth }) => depth > 600)) return root;
  const { tree, replace } = random.pick(places);
  const swapIn = random.below(10);
  if (swapIn === 0) replace(oddTree(random));
  else if (swapIn === 1 && others.length > 0) replace(structuredClone(random.pick(placesOf(random.pick(others), () => undefined)).tree));
  else if (swapIn === 2) replace(structuredClone(random.pick(places).tree));
  else changeInside(tree, random, replace);
  return result;
}

function changeInside(tree: Tree, random: SeededRandom, replace: (by: Tree) => void): void {
  switch (tree.t) {
    case 'map':
      return changeEntries(tree.entries, random);
    case 'array':
      return changeItems(tree.items, random);
    case 'bytes':
      tree.bytes = random.pick(BYTE_MUTATORS)(tree.bytes, random, []);
      return;
    case 'inside':
      return replace({ t: 'bytes', bytes: random.pick(BYTE_MUTATORS)(writeCbor(tree.inner), random, []) });
    case 'text':
      tree.text = random.pick([tree.text.slice(1), `${tree.text}${random.pick(ODD_KEYS)}`, tree.text.repeat(2), tree.text.toUpperCase(), `${tree.text}\n`, '']);
      return;
    case 'number':
      tree.value = random.chance(0.5) ? tree.value + random.pick([-1, 1, 256, 2 ** 32]) : random.pick(ODD_NUMBERS);
      return;
    case 'simple':
      return replace(oddTree(random));
  }
}

function changeEntries(entries: { key: string; value: Tree }[], random: SeededRandom): void {
  const at = random.below(Math.max(1, entries.length));
  const entry = entries[at];
  switch (random.below(5)) {
    case 0:
      entries.splice(at, 1);
      return;
    case 1:
      entries.splice(at, 0, { key: random.pick(ODD_KEYS), value: oddTree(random) });
      return;
    case 2:
      if (entry !== undefined) entries.splice(random.below(entries.length), 0, structuredClone(entry));
      return;
    case 3:
      if (entry !== undefined) entry.key = random.pick(ODD_KEYS);
      return;
    default: {
      const other = entries[random.below(Math.max(1, entries.length))];
      if (entry !== undefined && other !== undefined) [entry.value, other.value] = [other.value, entry.value];
    }
  }
}

function changeItems(items: Tree[], random: SeededRandom): void {
  const at = random.below(Math.max(1, items.length));
  const item = items[at] ?? oddTree(random);
  switch (random.below(4)) {
    case 0:
      items.splice(at, 1);
      return;
    case 1:
      items.splice(at, 0, structuredClone(item));
      return;
    case 2:
      items.push(...Array.from({ length: random.pick([2, 16, 17, 100, 1_001]) }, () => structuredClone(item)));
      return;
    default:
      items.reverse();
  }
}
