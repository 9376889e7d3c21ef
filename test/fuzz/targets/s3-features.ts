/** Decoders of versions, locks, tags and forms: what a client sends, and the rows and lists that the store keeps of it. */
import { concat, hex, utf8 } from '../../../src/base/bytes.ts';
import { hmacSha256 } from '../../../src/crypto/primitives.ts';
import { namedKey, openNamedKey } from '../../../src/gateway/index/rows.ts';
import { S3Error } from '../../../src/gateway/s3/http/errors.ts';
import { parseObjectLock } from '../../../src/gateway/s3/lock/object-lock.ts';
import { parseLegalHold, parseRetention } from '../../../src/gateway/s3/lock/retention.ts';
import { authenticateForm } from '../../../src/gateway/s3/post/form-signature.ts';
import { readForm } from '../../../src/gateway/s3/post/form.ts';
import { enforcePolicy, parsePolicy } from '../../../src/gateway/s3/post/policy.ts';
import type { ObjectPart } from '../../../src/gateway/s3/port/objects.ts';
import { parseTagging, requireTags, taggingElement } from '../../../src/gateway/s3/tags/tags.ts';
import { signingKey } from '../../../src/gateway/s3/auth/sigv4.ts';
import { parseVersioning } from '../../../src/gateway/s3/buckets/versioning.ts';
import { writeXml } from '../../../src/gateway/s3/http/xml.ts';
import { decodePartList, encodePartList } from '../../../src/gateway/store/part-list.ts';
import { decoder, holds, operationErrors, sameBytes } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { id } from '../valid.ts';
import { ACCESS_KEY, NOW_MS, SECRET_KEY } from './s3-requests.ts';

const isS3Error = (error: unknown): boolean => error instanceof S3Error;
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const WORDS = ['<', '>', '</', '/>', '&amp;', '&#0;', 'GOVERNANCE', 'COMPLIANCE', 'ON', 'Enabled', '0', '-1', '36501', '1e9', '2999-01-01T00:00:00Z', '<Days>', '<Mode>'];
const xml = { form: 'text', words: WORDS } as const;

const LOCK = '<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>';
const RETENTION = '<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00.5Z</RetainUntilDate></Retention>';
const HOLD = '<LegalHold><Status>ON</Status></LegalHold>';
const TAGS = '<Tagging><TagSet><Tag><Key>b</Key><Value>ü</Value></Tag><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>';
const VERSIONING = '<VersioningConfiguration><Status>Suspended</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>';

function acceptsLock(input: Uint8Array): boolean {
  const rule = parseObjectLock(input);
  const days = rule === undefined ? 1 : rule.period.count * (rule.period.unit === 'years' ? 366 : 1);
  holds(Number.isSafeInteger(days) && days >= 1 && days <= 36_600, 'a period is a number of days that a date can carry');
  return true;
}

function acceptsRetention(input: Uint8Array): boolean {
  const retention = parseRetention(input, NOW_MS);
  holds(retention === undefined || retention.untilMs > NOW_MS, 'a retention ends in the future');
  holds(retention === undefined || !Number.isNaN(new Date(retention.untilMs).getTime()), 'a retention ends at a time');
  return true;
}

function acceptsTags(input: Uint8Array): boolean {
  const tags = parseTagging(input);
  holds(same(requireTags(tags), tags), 'tags are in their order');
  holds(same(parseTagging(utf8(writeXml(taggingElement(tags)))), tags), 'tags are read back as they are written');
  return true;
}

const BOUNDARY = 'border';
const FILE = 'the bytes\r\n--of a file';
const FORM = [
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n\r\nfolder/\${filename}\r\n`,
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="x-amz-meta-a"\r\nContent-Type: text/plain\r\n\r\nb\r\n`,
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="C:\\\\a\\"b.txt"\r\n\r\n${FILE}\r\n--${BOUNDARY}--\r\n`,
].join('');

async function acceptsForm(input: Uint8Array): Promise<boolean> {
  const read = async (pieceBytes: number): Promise<unknown> => {
    const form = await readForm(BOUNDARY, input.length, inPieces(input, pieceBytes));
    const pieces: Uint8Array[] = [];
    for await (const piece of form.file.bytes) pieces.push(piece);
    const bytes = concat(...pieces);
    holds(bytes.length === form.file.size, 'a file has the size that was told');
    return { fields: [...form.fields], name: form.file.name, bytes: hex(bytes) };
  };
  const outcome = (pieceBytes: number): Promise<unknown> =>
    read(pieceBytes).catch((error: unknown) => {
      if (isS3Error(error)) return (error as S3Error).code;
      throw error;
    });
  const whole = await read(input.length + 1);
  holds(same(await outcome(7), whole), 'a form means the same however it is cut');
  return true;
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

const POLICY = {
  expiration: '2099-01-01T00:00:00.000Z',
  conditions: [{ bucket: 'bucket' }, ['starts-with', '$key', 'folder/'], ['content-length-range', 1, 100], ['eq', '$x-amz-meta-a', 'b']],
};
const FIELDS = new Map([['bucket', 'bucket'], ['key', 'folder/x'], ['x-amz-meta-a', 'b'], ['policy', '']]);

function acceptsPolicy(input: Uint8Array): boolean {
  const policy = parsePolicy(Buffer.from(input).toString('base64'));
  try {
    enforcePolicy(policy, FIELDS, 50, NOW_MS);
  } catch (error) {
    if (isS3Error(error)) return true;
    throw error;
  }
  const named = new Set(policy.conditions.flatMap((condition) => ('field' in condition ? [condition.field] : [])));
  holds(policy.expiresMs > NOW_MS && named.has('key') && named.has('x-amz-meta-a'), 'an upload is allowed by what names it');
  return true;
}

const REGION = 'us-east-1';
const account = { id: 'ab'.repeat(32), displayName: 'owner' };
const lookup = (id: string) => Promise.resolve(id === ACCESS_KEY ? { secretAccessKey: SECRET_KEY, account } : undefined);
const DATE = '20300102';
const signatureOf = (policy: string): string => hex(hmacSha256(signingKey(SECRET_KEY, DATE, REGION), utf8(policy)));
const SIGNED = {
  policy: 'e30=',
  'x-amz-algorithm': 'AWS4-HMAC-SHA256',
  'x-amz-credential': `${ACCESS_KEY}/${DATE}/${REGION}/s3/aws4_request`,
  'x-amz-date': `${DATE}T030405Z`,
  'x-amz-signature': signatureOf('e30='),
};

/** Fields as lines `name=value`. */
async function acceptsSignature(input: Uint8Array): Promise<boolean> {
  const lines = new TextDecoder().decode(input).split('\n');
  const fields = new Map(lines.map((line) => [line.split('=', 1)[0] ?? '', line.slice(line.indexOf('=') + 1)] as const));
  const signer = await authenticateForm(fields, REGION, lookup);
  holds(signer === undefined || fields.get('x-amz-signature') === signatureOf(signer.policy), 'only what the key signed is accepted');
  return signer !== undefined;
}

const HEAD_BYTES = 41;

function acceptsNamedKey(input: Uint8Array): boolean {
  const { name, rest } = openNamedKey(input);
  const escaped = [...name].flatMap((byte) => (byte === 0 ? [0, 255] : [byte]));
  sameBytes(concat(input.subarray(0, HEAD_BYTES), Uint8Array.from(escaped), new Uint8Array(2), rest), input);
  return true;
}

function acceptsPartList(input: Uint8Array): boolean {
  const parts = decodePartList(input);
  holds(same(decodePartList(encodePartList(parts)), parts), 'parts are read back as they are written');
  return true;
}

const PARTS = [
  { number: 1, size: 5, checksum: undefined },
  { number: 7, size: 9, checksum: { algorithm: 'CRC32', type: 'COMPOSITE', value: 'AAAAAA==' } },
] satisfies readonly ObjectPart[];

const s3 = 'src/gateway/s3';

export const featureTargets: readonly Target[] = [
  decoder({ name: 's3-object-lock', covers: [`${s3}/lock/object-lock.ts parseObjectLock`], format: xml, seeds: () => [utf8(LOCK)], accepts: acceptsLock, refuses: isS3Error }),
  decoder({ name: 's3-retention', covers: [`${s3}/lock/retention.ts parseRetention`], format: xml, seeds: () => [utf8(RETENTION)], accepts: acceptsRetention, refuses: isS3Error }),
  decoder({ name: 's3-legal-hold', covers: [`${s3}/lock/retention.ts parseLegalHold`], format: xml, seeds: () => [utf8(HOLD)], accepts: (input) => typeof parseLegalHold(input) === 'boolean', refuses: isS3Error }),
  decoder({ name: 's3-tagging', covers: [`${s3}/tags/tags.ts parseTagging`], format: xml, seeds: () => [utf8(TAGS)], accepts: acceptsTags, refuses: isS3Error }),
  decoder({ name: 's3-versioning', covers: [`${s3}/buckets/versioning.ts parseVersioning`], format: xml, seeds: () => [utf8(VERSIONING)], accepts: (input) => parseVersioning(input).length > 0, refuses: isS3Error }),
  decoder({ name: 's3-form', covers: [`${s3}/post/form.ts readForm`], format: { form: 'text', words: ['\r\n', `--${BOUNDARY}`, `--${BOUNDARY}--`, 'name="file"', 'name="', '"', '\\', '%22', ';', 'filename="'] }, seeds: () => [utf8(FORM)], accepts: acceptsForm, refuses: isS3Error }),
  decoder({ name: 's3-form-policy', covers: [`${s3}/post/policy.ts parsePolicy`], format: { form: 'text', words: ['eq', 'starts-with', 'content-length-range', '$key', '$', 'null', '[]', '{}', '1e99', '-1', '"expiration"'] }, seeds: () => [utf8(JSON.stringify(POLICY))], accepts: acceptsPolicy, refuses: isS3Error }),
  decoder({ name: 's3-form-signature', covers: [`${s3}/post/form-signature.ts authenticateForm`], format: { form: 'text', words: ['/', 's3/aws4_request', '\n', '=', 'x-amz-security-token=', 'awsaccesskeyid='] }, seeds: () => [utf8(Object.entries(SIGNED).map(([name, value]) => `${name}=${value}`).join('\n'))], accepts: acceptsSignature, refuses: isS3Error }),
  decoder({ name: 'index-named-key', covers: ['src/gateway/index/rows.ts openNamedKey'], format: { form: 'bytes' }, seeds: () => [namedKey('version', id('bucket'), 1, Uint8Array.of(97, 0, 98), id('rest'))], accepts: acceptsNamedKey, refuses: operationErrors('CORRUPT') }),
  decoder({ name: 'part-list', covers: ['src/gateway/store/part-list.ts decodePartList'], format: { form: 'cbor' }, seeds: () => [encodePartList(PARTS)], accepts: acceptsPartList, refuses: operationErrors('DAMAGED') }),
];
