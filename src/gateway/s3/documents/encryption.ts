/**
 * The default encryption of a bucket. Everything is sealed by the gateway before it leaves it, whatever this
 * document says; the document says whether answers name it as SSE-S3 (`AES256`). A key service of AWS (KMS)
 * is not there and is refused, never taken for something else.
 */
import type { HeaderField } from '../../../base/http.ts';
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { configure, stateOf } from './state.ts';
import { S3Error } from '../http/errors.ts';
import type { BucketState } from '../port/buckets.ts';
import { element, fields, readXml, requiredText, writeXml, XML_BYTES_MAX } from '../http/xml.ts';
import { plainText } from './reading.ts';
import { documentResponse } from './response.ts';

const ROOT = 'ServerSideEncryptionConfiguration';

/** Checks that the document asks for SSE-S3 and says whether a bucket key is asked for. Throws S3Error. */
export function parseEncryption(document: Uint8Array): { readonly bucketKeyEnabled: boolean | undefined } {
  const { Rule } = fields(readXml(document, ROOT), ['Rule']);
  if (Rule === undefined) throw new S3Error('MalformedXML', 'One rule is needed.');
  const { ApplyServerSideEncryptionByDefault: byDefault, BucketKeyEnabled } = fields(Rule, [
    'ApplyServerSideEncryptionByDefault',
    'BucketKeyEnabled',
  ]);
  if (byDefault === undefined) throw new S3Error('MalformedXML', 'ApplyServerSideEncryptionByDefault is missing.');
  const { SSEAlgorithm, KMSMasterKeyID } = fields(byDefault, ['SSEAlgorithm', 'KMSMasterKeyID']);
  const algorithm = requiredText('SSEAlgorithm', SSEAlgorithm);
  if (algorithm === 'aws:kms' || algorithm === 'aws:kms:dsse')
    throw new S3Error('NotImplemented', 'There is no key management service here: AES256 is the one default.');
  if (algorithm !== 'AES256') throw new S3Error('MalformedXML', 'SSEAlgorithm is not one that S3 knows.');
  if (KMSMasterKeyID !== undefined)
    throw new S3Error('InvalidArgument', 'KMSMasterKeyID is for aws:kms alone.');
  return { bucketKeyEnabled: BucketKeyEnabled === undefined ? undefined : plainText(BucketKeyEnabled).trim() === 'true' };
}

export const putBucketEncryption: Feature = async (call) => {
  const { bucketKeyEnabled } = parseEncryption(await readAll(call.content(XML_BYTES_MAX)));
  const rule = [
    element('ApplyServerSideEncryptionByDefault', [element('SSEAlgorithm', 'AES256')]),
    ...(bucketKeyEnabled === undefined ? [] : [element('BucketKeyEnabled', bucketKeyEnabled)]),
  ];
  await configure(call, 'encryption', writeXml(element(ROOT, [element('Rule', rule)])));
  return emptyResponse(200);
};

export const getBucketEncryption: Feature = async (call) =>
  documentResponse((await stateOf(call)).documents.encryption, 'ServerSideEncryptionConfigurationNotFoundError');

export const deleteBucketEncryption: Feature = async (call) => {
  await configure(call, 'encryption', undefined);
  return emptyResponse(204);
};

/** What metadata of a new object says of its seal: what the request names, else the bucket's default. */
export function sealedAs(state: Pick<BucketState, 'documents'>, asked: 'AES256' | undefined): 'AES256' | undefined {
  return asked ?? (state.documents.encryption === undefined ? undefined : 'AES256');
}

export function encryptionHeaders(sse: 'AES256' | undefined): HeaderField[] {
  return sse === undefined ? [] : [['x-amz-server-side-encryption', sse]];
}
