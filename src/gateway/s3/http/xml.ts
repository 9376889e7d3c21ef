/**
 * XML both ways. Writing: a tree of elements, every text escaped, characters that XML 1.0 cannot carry
 * refused (a key that holds one travels url-encoded or not at all). Reading: strict UTF-8, one parser
 * (@rgrove/parse-xml), bounded size, depth and element count, and no markup declarations: no DOCTYPE, hence
 * no entities beyond the five, no CDATA, no comments. What the reader does not know it refuses.
 */
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { parseXml, XmlElement as ParsedElement, XmlText } from '@rgrove/parse-xml';
import { fromUtf8, utf8 } from '../../../base/bytes.ts';
import { S3Error } from './errors.ts';

export const XML_BYTES_MAX = 1024 * 1024;
/**
 * CompleteMultipartUpload names up to 10,000 parts, DeleteObjects up to 1,000 keys of 1,024 bytes, escaped.
 */
export const XML_LIST_BYTES_MAX = 4 * 1024 * 1024;
const XML_DEPTH_MAX = 16;
const XML_TAGS_MAX = 150_000;
const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** An element to write: text, or elements in order. */
export interface Element {
  readonly name: string;
  readonly content: string | readonly Element[];
  /** Written as they are: names and values of our own, never of a client. */
  readonly attributes?: string;
}

export function element(name: string, content: string | number | boolean | readonly Element[]): Element {
  return { name, content: typeof content === 'object' ? content : String(content) };
}

/** Nothing when the value is undefined: for optional elements, spread into their parent. */
export function optional(name: string, content: string | number | boolean | undefined): readonly Element[] {
  return content === undefined ? [] : [element(name, content)];
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** Char of XML 1.0 section 2.2, by code point. A lone surrogate is not one. */
const NOT_XML = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u;

export function isXmlText(text: string): boolean {
  return !NOT_XML.test(text);
}

/** The text with `?` in place of every character that XML cannot carry: for messages that quote the client. */
export function xmlText(text: string): string {
  return isXmlText(text) ? text : [...text].map((character) => (isXmlText(character) ? character : '?')).join('');
}

function write(node: Element, out: string[]): void {
  out.push('<', node.name, node.attributes === undefined ? '' : ` ${node.attributes}`, '>');
  if (typeof node.content === 'string') {
    if (!isXmlText(node.content)) {
      throw new S3Error(
        'InvalidRequest',
        `${node.name} has characters that XML cannot carry; ask for encoding-type=url.`,
      );
    }
    out.push(node.content.replace(/[&<>"'\t\n\r]/g, (character) => ESCAPES[character] ?? character));
  } else {
    for (const child of node.content) write(child, out);
  }
  out.push('</', node.name, '>');
}

/**
 * The document as text, with S3's namespace unless it is an error. Throws S3Error for unrepresentable text.
 */
export function writeXml(root: Element): string {
  const out: string[] = [];
  write(root, out);
  // S3 writes these two without its namespace, and clients look for their elements so.
  if (root.name !== 'Error' && root.name !== 'PostResponse') out[1] = `${root.name} xmlns="${NAMESPACE}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n${out.join('')}`;
}

export function xmlResponse(
  status: number,
  root: Element,
  headers: readonly HeaderField[] = [],
): HttpResponse {
  return { status, headers: [...headers, ['Content-Type', 'application/xml']], body: utf8(writeXml(root)) };
}

/** An element as read: either text or elements, never both. */
export interface ReadElement {
  readonly name: string;
  readonly text: string;
  readonly children: readonly ReadElement[];
}

const malformed = (message?: string): S3Error => new S3Error('MalformedXML', message);

/**
 * Counts tags and depth before the parser, which recurses, sees the text. With `<!` refused, a `<` begins a
 * tag, an end tag or an instruction; an attribute value may hold `>` but not `<`.
 */
function checkShape(text: string): void {
  let depth = 0;
  let tags = 0;
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at + 1)) {
    tags += 1;
    if (tags > XML_TAGS_MAX) throw malformed('The XML has too many elements.');
    const next = text[at + 1];
    if (next === '!') throw malformed('Declarations, comments and CDATA are not accepted.');
    if (next === '/') depth -= 1;
    else if (next !== '?' && text[endOfTag(text, at) - 1] !== '/') depth += 1;
    if (depth > XML_DEPTH_MAX) throw malformed('The XML is nested too deeply.');
  }
}

/**
 * Index of the `>` that ends the tag beginning at `start`. Stops at the next `<` in any case, which is never
 * well formed inside a tag, so that all scans together are linear in the text.
 */
function endOfTag(text: string, start: number): number {
  let quote = '';
  for (let i = start + 1; i < text.length; i += 1) {
    const character = text[i] ?? '';
    if (character === '<') return i;
    if (quote !== '') {
      if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '>') return i;
  }
  return text.length;
}

function simplify(parsed: ParsedElement): ReadElement {
  for (const name of Object.keys(parsed.attributes)) {
    const known = name === 'xmlns' || name === 'xmlns:xsi' || name === 'xsi:type';
    if (!known) throw malformed(`The attribute ${name} is not known.`);
  }
  const children: ReadElement[] = [];
  let text = '';
  for (const child of parsed.children) {
    if (child instanceof ParsedElement) children.push(simplify(child));
    else if (child instanceof XmlText) text += child.text;
    else throw malformed();
  }
  if (children.length > 0 && text.trim() !== '') throw malformed('Text and elements are mixed.');
  return { name: parsed.name, text: children.length > 0 ? '' : text, children };
}

/**
 * Reads a document whose root must be `rootName`. Throws S3Error MalformedXML. The caller bounds the size.
 */
export function readXml(bytes: Uint8Array, rootName: string): ReadElement {
  let text: string;
  try {
    text = fromUtf8(bytes);
  } catch {
    throw malformed('The XML is not UTF-8.');
  }
  checkShape(text);
  let root: ParsedElement | null;
  try {
    root = parseXml(text).root;
  } catch {
    throw malformed();
  }
  if (root?.name !== rootName) throw malformed(`The root element must be ${rootName}.`);
  return simplify(root);
}

/**
 * The children of an element by name, each at most once. A name outside `known` is a feature not built, which
 * is refused rather than ignored.
 */
export function fields<Name extends string>(
  parent: ReadElement,
  known: readonly Name[],
): Partial<Record<Name, ReadElement>> {
  const found: Partial<Record<Name, ReadElement>> = {};
  for (const child of parent.children) {
    const name = known.find((candidate) => candidate === child.name);
    if (name === undefined) {
      throw new S3Error('NotImplemented', `The element ${child.name} in ${parent.name} is not built.`);
    }
    if (found[name] !== undefined) throw malformed(`${child.name} is given twice.`);
    found[name] = child;
  }
  return found;
}

/** The text of a child that must be there and be plain text. */
export function requiredText(name: string, child: ReadElement | undefined): string {
  if (child === undefined || child.children.length > 0) throw malformed(`${name} is missing.`);
  return child.text;
}
