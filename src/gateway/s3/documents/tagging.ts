/** Tags of a bucket: up to fifty names with values, which mean something to people and bills alone. */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { configure, stateOf } from './state.ts';
import { S3Error } from '../http/errors.ts';
import { element, fields, readXml, requiredText, writeXml, XML_BYTES_MAX } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';
import { groups } from './reading.ts';
import { documentResponse } from './response.ts';

const ROOT = 'Tagging';
const BUCKET_TAGS_MAX = 50;
const KEY_LENGTH_MAX = 128;
const VALUE_LENGTH_MAX = 256;

const invalidTag = (message: string): S3Error => new S3Error('InvalidTag', message);

/** One Tag element. Throws S3Error. */
export function tagOf(child: ReadElement): readonly [key: string, value: string] {
  const { Key, Value } = fields(child, ['Key', 'Value']);
  const key = requiredText('Key', Key);
  const value = requiredText('Value', Value);
  if (key === '' || key.length > KEY_LENGTH_MAX) throw invalidTag('The TagKey you have provided is invalid.');
  if (value.length > VALUE_LENGTH_MAX) throw invalidTag('The TagValue you have provided is invalid.');
  if (/^aws:/i.test(key)) throw invalidTag('System tags cannot be added or updated by the requester.');
  return [key, value];
}

export function tagElement([key, value]: readonly [string, string], name = 'Tag'): Element {
  return element(name, [element('Key', key), element('Value', value)]);
}

/** The tags of a document that a client puts on a bucket; throws S3Error. */
export function parseBucketTagging(document: Uint8Array): readonly (readonly [string, string])[] {
  const { TagSet } = fields(readXml(document, ROOT), ['TagSet']);
  if (TagSet === undefined) throw new S3Error('MalformedXML', 'TagSet is missing.');
  const tags = groups(TagSet, ['Tag']).Tag.map(tagOf);
  if (tags.length > BUCKET_TAGS_MAX)
    throw new S3Error('BadRequest', `Bucket tag count cannot be greater than ${String(BUCKET_TAGS_MAX)}`);
  if (new Set(tags.map(([key]) => key)).size < tags.length)
    throw invalidTag('Cannot provide multiple Tags with the same key');
  return tags;
}

export function encodeBucketTagging(tags: readonly (readonly [string, string])[]): string {
  return writeXml(
    element(ROOT, [
      element(
        'TagSet',
        tags.map((tag) => tagElement(tag)),
      ),
    ]),
  );
}

export const putBucketTagging: Feature = async (call) => {
  const tags = parseBucketTagging(await readAll(call.content(XML_BYTES_MAX)));
  await configure(call, 'tagging', tags.length === 0 ? undefined : encodeBucketTagging(tags));
  return emptyResponse(204);
};

export const getBucketTagging: Feature = async (call) =>
  documentResponse((await stateOf(call)).documents.tagging, 'NoSuchTagSet');

export const deleteBucketTagging: Feature = async (call) => {
  await configure(call, 'tagging', undefined);
  return emptyResponse(204);
};
