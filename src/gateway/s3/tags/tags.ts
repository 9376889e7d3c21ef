/**
 * Tags of an object: at most ten names with values. They come as a document or, with a new object, as a query
 * string in x-amz-tagging, and are kept in the order of their names' bytes.
 */
import { compare, utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { textOfBytes } from '../http/headers.ts';
import type { Headers } from '../http/headers.ts';
import type { Tags } from '../port/objects.ts';
import { uriDecode } from '../http/uri.ts';
import { element, fields, readXml, requiredText } from '../http/xml.ts';
import type { Element } from '../http/xml.ts';

const TAGS_MAX = 10;
const NAME_CHARACTERS_MAX = 128;
const VALUE_CHARACTERS_MAX = 256;
/** Ten tags of the longest characters, every byte percent-encoded. */
const HEADER_LENGTH_MAX = TAGS_MAX * (NAME_CHARACTERS_MAX + VALUE_CHARACTERS_MAX) * 4 * 3 + TAGS_MAX * 2;
const TAG_CHARACTERS = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

const isTagText = (text: string, max: number): boolean => [...text].length <= max && TAG_CHARACTERS.test(text);

/** Throws S3Error InvalidTag; gives the tags back in their order. */
export function requireTags(tags: Tags): Tags {
  if (tags.length > TAGS_MAX)
    throw new S3Error('InvalidTag', `Object tags cannot be greater than ${String(TAGS_MAX)}.`);
  for (const [name, value] of tags) {
    if (name === '' || !isTagText(name, NAME_CHARACTERS_MAX))
      throw new S3Error('InvalidTag', 'The TagKey you have provided is invalid.');
    if (!isTagText(value, VALUE_CHARACTERS_MAX))
      throw new S3Error('InvalidTag', 'The TagValue you have provided is invalid.');
    if (/^aws:/i.test(name)) throw new S3Error('InvalidTag', 'Your TagKey cannot be prefixed with aws:.');
  }
  if (new Set(tags.map(([name]) => name)).size < tags.length)
    throw new S3Error('InvalidTag', 'Cannot provide multiple Tags with the same key.');
  return [...tags].sort(([a], [b]) => compare(utf8(a), utf8(b)));
}

/** The tags of a Tagging document. Throws S3Error MalformedXML or InvalidTag. */
export function parseTagging(document: Uint8Array): Tags {
  const { TagSet } = fields(readXml(document, 'Tagging'), ['TagSet']);
  if (TagSet === undefined) throw new S3Error('MalformedXML', 'TagSet is missing.');
  return requireTags(
    TagSet.children.map((child) => {
      if (child.name !== 'Tag') throw new S3Error('MalformedXML', 'A TagSet holds Tags.');
      const { Key, Value } = fields(child, ['Key', 'Value']);
      return [requiredText('Key', Key), requiredText('Value', Value)] as const;
    }),
  );
}

export function taggingElement(tags: Tags): Element {
  const shown = tags.map(([key, value]) => element('Tag', [element('Key', key), element('Value', value)]));
  return element('Tagging', [element('TagSet', shown)]);
}

/** The tags of x-amz-tagging; undefined when there is no such header. Throws InvalidArgument or InvalidTag. */
export function tagsOfHeader(headers: Headers): Tags | undefined {
  const header = headers.get('x-amz-tagging');
  if (header === undefined) return undefined;
  if (header.length > HEADER_LENGTH_MAX) throw malformedHeader();
  const pairs = header.split('&').filter((pair) => pair !== '');
  return requireTags(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [decoded(pair), ''] : [decoded(pair.slice(0, equals)), decoded(pair.slice(equals + 1))];
    }),
  );
}

function decoded(text: string): string {
  const bytes = uriDecode(text.replaceAll('+', '%20'));
  const value = bytes === undefined ? undefined : textOfBytes(bytes);
  if (value === undefined) throw malformedHeader();
  return value;
}

function malformedHeader(): S3Error {
  return new S3Error('InvalidArgument', 'x-amz-tagging must be encoded as URL query parameters.');
}
