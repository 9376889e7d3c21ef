/** Decoders of the documents about a bucket: what a client puts, and what the store gives back of it. */
import { utf8 } from '../../../src/base/bytes.ts';
import { answerPreflight } from '../../../src/gateway/s3/documents/cors-answer.ts';
import { decodeCors, encodeCors, parseCors } from '../../../src/gateway/s3/documents/cors.ts';
import { parseEncryption } from '../../../src/gateway/s3/documents/encryption.ts';
import { encodeBucketTagging, parseBucketTagging } from '../../../src/gateway/s3/documents/tagging.ts';
import { S3Error } from '../../../src/gateway/s3/http/errors.ts';
import { Headers } from '../../../src/gateway/s3/http/headers.ts';
import { decodeLifecycle, encodeLifecycle, parseLifecycle } from '../../../src/gateway/s3/lifecycle/document.ts';
import { expirationOf, judgeVersion, LIFECYCLE_TIME } from '../../../src/gateway/s3/lifecycle/evaluate.ts';
import { MemoryStore } from '../../../src/gateway/s3/port/memory-store.contract.ts';
import { decodeNotification, encodeNotification, parseNotification } from '../../../src/gateway/s3/notification/document.ts';
import { decoder, holds } from '../decoder.ts';
import type { Target } from '../engine.ts';

const isS3Error = (error: unknown): boolean => error instanceof S3Error;
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
/** Kept documents are text. */
const kept = (input: Uint8Array): string => new TextDecoder().decode(input);

const CORS = '<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><CORSRule><ID>a</ID><AllowedHeader>x-*</AllowedHeader><AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://*.example</AllowedOrigin><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3</MaxAgeSeconds></CORSRule></CORSConfiguration>';
const LIFECYCLE = `<LifecycleConfiguration>${[
  '<Rule><ID>a</ID><Prefix>p/</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>',
  '<Rule><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter><Status>Disabled</Status><Expiration><Date>2030-01-01</Date></Expiration><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays><NewerNoncurrentVersions>5</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>',
  '<Rule><Filter></Filter><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>',
].join('')}</LifecycleConfiguration>`;
const NOTIFICATION = '<NotificationConfiguration><QueueConfiguration><Id>a</Id><Queue>arn:holdfast:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>p/</Value></FilterRule></S3Key></Filter></QueueConfiguration><TopicConfiguration><Topic>arn:holdfast:sns::other:webhook</Topic><Event>s3:ObjectRemoved:Delete</Event></TopicConfiguration></NotificationConfiguration>';
const TAGGING = '<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value></Value></Tag></TagSet></Tagging>';
const ENCRYPTION = '<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>';

const WORDS = ['<', '>', '</', '/>', '*', '-1', '0', '2147483648', '&#13;&#10;', '&amp;', '<Rule>', '</Rule>', '<Filter/>', '<And>', 'Enabled', 'arn:holdfast:sqs::x:webhook', 's3:ObjectCreated:*'];
const format = { form: 'text', words: WORDS } as const;

async function acceptsCors(input: Uint8Array): Promise<boolean> {
  decodeCors(kept(input));
  const rules = parseCors(input);
  holds(same(decodeCors(encodeCors(rules)), rules), 'rules are read back as they are written');
  const store = new MemoryStore();
  store.addBucket('bucket', { documents: { cors: encodeCors(rules) } });
  const headers = new Headers([['origin', 'http://a.example'], ['access-control-request-method', 'GET']]);
  const { headers: answer } = await answerPreflight(store, '/bucket/key', headers);
  holds(answer.every(([, value]) => /^[\x20-\x7e]*$/.test(value)), 'no header of the answer can be split');
  return true;
}

function acceptsLifecycle(input: Uint8Array): boolean {
  decodeLifecycle(kept(input));
  const rules = parseLifecycle(input);
  holds(same(decodeLifecycle(encodeLifecycle(rules)), rules), 'rules are read back as they are written');
  const subject = { key: 'p/x', size: 5, tags: [['k', 'v']] as const, lastModifiedMs: 0 };
  const facts = { ...subject, isDeleteMarker: false, supersededMs: undefined, newerNoncurrent: 0, isOnly: true };
  const { action } = judgeVersion(rules, facts, 1000, LIFECYCLE_TIME);
  const told = expirationOf(rules, subject, LIFECYCLE_TIME);
  holds(action !== 'expire' || (told !== undefined && told.atMs <= 1000), 'nothing expires before it was told to');
  return true;
}

function acceptsNotification(input: Uint8Array): boolean {
  decodeNotification(kept(input));
  const rules = parseNotification(input);
  holds(same(decodeNotification(encodeNotification(rules)), rules), 'rules are read back as they are written');
  holds(rules.every(({ webhook }) => /^[A-Za-z0-9_-]+$/.test(webhook)), 'a rule names a webhook and nothing else');
  return true;
}

function acceptsTagging(input: Uint8Array): boolean {
  const tags = parseBucketTagging(input);
  holds(same(parseBucketTagging(utf8(encodeBucketTagging(tags))), tags), 'tags are read back as they are written');
  return true;
}

function acceptsEncryption(input: Uint8Array): boolean {
  parseEncryption(input);
  return true;
}


const documents = 'src/gateway/s3/documents';
const lifecycle = 'src/gateway/s3/lifecycle/document.ts';
const notification = 'src/gateway/s3/notification/document.ts';

export const documentTargets: readonly Target[] = [
  decoder({ name: 's3-cors', covers: [`${documents}/cors.ts parseCors`, `${documents}/cors.ts decodeCors`], format, seeds: () => [utf8(CORS)], accepts: acceptsCors, refuses: isS3Error }),
  decoder({ name: 's3-lifecycle', covers: [`${lifecycle} parseLifecycle`, `${lifecycle} decodeLifecycle`], format, seeds: () => [utf8(LIFECYCLE)], accepts: acceptsLifecycle, refuses: isS3Error }),
  decoder({ name: 's3-notification', covers: [`${notification} parseNotification`, `${notification} decodeNotification`], format, seeds: () => [utf8(NOTIFICATION)], accepts: acceptsNotification, refuses: isS3Error }),
  decoder({ name: 's3-bucket-tagging', covers: [`${documents}/tagging.ts parseBucketTagging`], format, seeds: () => [utf8(TAGGING)], accepts: acceptsTagging, refuses: isS3Error }),
  decoder({ name: 's3-encryption', covers: [`${documents}/encryption.ts parseEncryption`], format, seeds: () => [utf8(ENCRYPTION)], accepts: acceptsEncryption, refuses: isS3Error }),
];
