/**
 * DeleteObject and DeleteObjects. Deleting what does not exist is a success, as in S3. A bulk delete carries
 * an outcome for each key, in the order asked; its body must come with a checksum, so that a bit flipped on
 * the way never deletes another key.
 */
import { utf8 } from '../../base/bytes.ts';
import { isOperationError } from '../../base/errors.ts';
import { bucketOf, emptyResponse, objectOf, operationOf, refusal } from './call.ts';
import type { Call, Feature } from './call.ts';
import { writeCondition } from './conditions.ts';
import { hasChecksum, readAll } from './content.ts';
import { S3Error, toS3Error } from './errors.ts';
import { KEY_BYTES_MAX } from './uri.ts';
import { element, fields, readXml, requiredText, XML_LIST_BYTES_MAX, xmlResponse } from './xml.ts';
import type { Element } from './xml.ts';

const KEYS_MAX = 1000;
const CONCURRENT_DELETES = 16;

export const deleteObject: Feature = async (call) => {
  const { bucket, key } = objectOf(call);
  const condition = writeCondition(call.headers);
  const result = await call.store.deleteObject(bucket, key, operationOf(call), condition);
  if (result.outcome !== 'deleted') throw refusal(result.outcome);
  return emptyResponse(204);
};

interface BulkDelete {
  readonly keys: readonly string[];
  readonly quiet: boolean;
}

function parse(document: Uint8Array): BulkDelete {
  const root = readXml(document, 'Delete');
  const keys: string[] = [];
  let quiet = false;
  for (const child of root.children) {
    if (child.name === 'Quiet') quiet = child.text.trim() === 'true';
    else if (child.name === 'Object') keys.push(requiredText('Key', fields(child, ['Key']).Key));
    else throw new S3Error('MalformedXML');
  }
  if (keys.length === 0 || keys.length > KEYS_MAX)
    throw new S3Error('MalformedXML', `Name 1 to ${String(KEYS_MAX)} keys.`);
  return { keys, quiet };
}

/** One key; an expected failure is an entry of the answer, a broken invariant is not. */
async function deleteOne(
  call: Call,
  bucket: string,
  key: string,
  index: number,
): Promise<S3Error | undefined> {
  if (key === '') return new S3Error('InvalidArgument', 'The key is empty.');
  if (utf8(key).length > KEY_BYTES_MAX) return new S3Error('KeyTooLongError');
  try {
    const result = await call.store.deleteObject(bucket, key, operationOf(call, `${String(index)}/${key}`));
    if (result.outcome === 'no-such-bucket') throw refusal(result.outcome);
    return result.outcome === 'deleted' ? undefined : refusal(result.outcome);
  } catch (error) {
    if (isOperationError(error)) return toS3Error(error);
    throw error;
  }
}

export const deleteObjects: Feature = async (call) => {
  const bucket = bucketOf(call);
  if (!hasChecksum(call.headers))
    throw new S3Error('InvalidRequest', 'Content-MD5 or x-amz-checksum- is required.');
  const { keys, quiet } = parse(await readAll(call.content(XML_LIST_BYTES_MAX)));
  const found = await call.store.headBucket(bucket);
  if (found.outcome !== 'found') throw refusal(found.outcome);
  const failures: (S3Error | undefined)[] = new Array<S3Error | undefined>(keys.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < keys.length; i = next++)
      failures[i] = await deleteOne(call, bucket, keys[i] ?? '', i);
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_DELETES, keys.length) }, worker));
  const answers: Element[] = [];
  for (const [i, key] of keys.entries()) {
    const failure = failures[i];
    if (failure !== undefined) {
      answers.push(
        element('Error', [
          element('Key', key),
          element('Code', failure.code),
          element('Message', failure.message),
        ]),
      );
    } else if (!quiet) answers.push(element('Deleted', [element('Key', key)]));
  }
  return xmlResponse(200, element('DeleteResult', answers));
};
