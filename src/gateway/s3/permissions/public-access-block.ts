/** The public access block of a bucket: four switches that close what policies and ACLs would open. */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import { element, fields, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import type { ReadElement } from '../http/xml.ts';
import { decodeBlock, encodeBlock } from '../access/bucket-facts.ts';
import type { PublicAccessBlock } from '../access/bucket-facts.ts';
import { configure, stateOf } from '../documents/state.ts';

const ROOT = 'PublicAccessBlockConfiguration';
const SWITCHES = ['BlockPublicAcls', 'IgnorePublicAcls', 'BlockPublicPolicy', 'RestrictPublicBuckets'] as const;

/** What is not named is off. */
function switchOf(name: string, child: ReadElement | undefined): boolean {
  if (child === undefined) return false;
  const text = requiredText(name, child).trim().toLowerCase();
  if (text !== 'true' && text !== 'false') throw new S3Error('MalformedXML', `${name} must be true or false.`);
  return text === 'true';
}

export const putPublicAccessBlock: Feature = async (call) => {
  const known = fields(readXml(await readAll(call.content(XML_BYTES_MAX)), ROOT), SWITCHES);
  const block: PublicAccessBlock = {
    blockPublicAcls: switchOf('BlockPublicAcls', known.BlockPublicAcls),
    ignorePublicAcls: switchOf('IgnorePublicAcls', known.IgnorePublicAcls),
    blockPublicPolicy: switchOf('BlockPublicPolicy', known.BlockPublicPolicy),
    restrictPublicBuckets: switchOf('RestrictPublicBuckets', known.RestrictPublicBuckets),
  };
  await configure(call, 'publicAccessBlock', encodeBlock(block));
  return emptyResponse(200);
};

export const getPublicAccessBlock: Feature = async (call) => {
  const document = (await stateOf(call)).documents.publicAccessBlock;
  const block = document === undefined ? undefined : decodeBlock(document);
  if (block === undefined) throw new S3Error('NoSuchPublicAccessBlockConfiguration');
  return xmlResponse(
    200,
    element(ROOT, [
      element('BlockPublicAcls', block.blockPublicAcls),
      element('IgnorePublicAcls', block.ignorePublicAcls),
      element('BlockPublicPolicy', block.blockPublicPolicy),
      element('RestrictPublicBuckets', block.restrictPublicBuckets),
    ]),
  );
};

export const deletePublicAccessBlock: Feature = async (call) => {
  await configure(call, 'publicAccessBlock', undefined);
  return emptyResponse(204);
};
