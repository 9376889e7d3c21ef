/** Tags of a stored version, read and changed without a new version. */
import { emptyResponse, operationOf } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { changeAttributes, readVersion } from '../versions/stored-version.ts';
import { readAll } from '../body/content.ts';
import type { Tags } from '../port/objects.ts';
import { versionHeaders } from '../versions/version-id.ts';
import { XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import { parseTagging, taggingElement } from './tags.ts';

const change = (call: Call, tags: Tags): Promise<string | undefined> =>
  changeAttributes(call, { kind: 'tags', tags }, operationOf(call));

export const getObjectTagging: Feature = async (call) => {
  const { attributes, versionId } = await readVersion(call);
  return xmlResponse(200, taggingElement(attributes.tags), versionHeaders(versionId));
};

export const putObjectTagging: Feature = async (call) => {
  const tags = parseTagging(await readAll(call.content(XML_BYTES_MAX)));
  return emptyResponse(200, versionHeaders(await change(call, tags)));
};

export const deleteObjectTagging: Feature = async (call) =>
  emptyResponse(204, versionHeaders(await change(call, [])));
