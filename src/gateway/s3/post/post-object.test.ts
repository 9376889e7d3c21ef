import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ACCESS_KEY, SECRET_KEY, ask, startS3World, timestampNow } from '../s3-world.contract.ts';
import type { S3World } from '../s3-world.contract.ts';

let world: S3World;
beforeAll(async () => {
  world = await startS3World({ patience: { idleMs: 300, graceMs: 1_000, bytesPerSecondMin: 1024 } });
  await ask(world, { method: 'PUT', path: '/forms' });
  await ask(world, { method: 'PUT', path: '/open', headers: { 'x-amz-acl': 'public-read-write' } });
});
afterAll(() => world.close());

const FILE = 'the file';
const FUTURE = (): string => new Date(Date.now() + 60_000).toISOString();

interface Wish {
  readonly fields?: Readonly<Record<string, string>>;
  readonly conditions?: readonly unknown[];
  readonly expiration?: string;
  readonly secret?: string;
  readonly file?: Blob | null;
  readonly policy?: (text: string) => string;
}

/** Signs a policy apart from form-signature.ts and makes the form of it. */
function form(wish: Wish = {}): FormData {
  const timestamp = timestampNow();
  const date = timestamp.slice(0, 8);
  const credential = `${ACCESS_KEY}/${date}/us-east-1/s3/aws4_request`;
  const signing = { 'x-amz-algorithm': 'AWS4-HMAC-SHA256', 'x-amz-credential': credential, 'x-amz-date': timestamp };
  const fields = { key: 'a/${filename}', ...signing, ...wish.fields };
  const conditions = wish.conditions ?? [['starts-with', '$key', 'a/'], ...Object.entries({ bucket: 'forms', ...signing }).map(([name, value]) => ({ [name]: value }))];
  const document = JSON.stringify({ expiration: wish.expiration ?? FUTURE(), conditions });
  const policy = Buffer.from((wish.policy ?? ((text) => text))(document)).toString('base64');
  let key: Buffer | string = `AWS4${wish.secret ?? SECRET_KEY}`;
  for (const part of [date, 'us-east-1', 's3', 'aws4_request']) key = createHmac('sha256', key).update(part).digest();
  const signature = createHmac('sha256', key).update(policy).digest('hex');
  const out = new FormData();
  for (const [name, value] of Object.entries({ ...fields, policy, 'x-amz-signature': signature })) out.append(name, value);
  if (wish.file !== null) out.append('file', wish.file ?? new Blob([FILE]), 'named.txt');
  return out;
}

const anything = [['starts-with', '$key', ''], ['starts-with', '$x-amz-algorithm', ''], ['starts-with', '$x-amz-credential', ''], ['starts-with', '$x-amz-date', '']];

async function post(body: FormData | string, headers: Record<string, string> = {}, bucket = 'forms'): Promise<{ status: number; code: string | undefined; text: string; headers: globalThis.Headers }> {
  const answer = await fetch(`${world.server.origin}/${bucket}`, { method: 'POST', body, headers, redirect: 'manual' });
  const text = await answer.text();
  return { status: answer.status, code: /<Code>(.*?)<\/Code>/.exec(text)?.[1], text, headers: answer.headers };
}

describe('a signed form', () => {
  test('puts its file under the name that it has', async () => {
    const answer = await post(form());
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(answer.headers.get('location')).toBe(`${world.server.origin}/forms/a/named.txt`);
    expect((await ask(world, { method: 'GET', path: '/forms/a/named.txt' })).text).toBe(FILE);
  });

  test('keeps a file of several megabytes, with bytes that look like boundaries', async () => {
    const bytes = Buffer.concat([Buffer.alloc(3_000_000, '\r\n--'), Buffer.from('\r\n--\r\n')]);
    expect((await post(form({ file: new Blob([bytes]) }))).status).toBe(204);
    expect((await ask(world, { method: 'GET', path: '/forms/a/named.txt' })).body.equals(bytes)).toBe(true);
  });

  test('sets headers and metadata, as far as its policy lets it', async () => {
    const fields = { key: 'meta', 'Content-Type': 'text/x-test', 'X-Amz-Meta-Colour': 'grün' };
    const conditions = [...anything, ['eq', '$CONTENT-type', 'text/x-test'], { 'x-amz-meta-colour': 'grün' }];
    expect((await post(form({ fields, conditions }))).status).toBe(204);
    const { headers } = await ask(world, { method: 'HEAD', path: '/forms/meta' });
    expect(headers['content-type']).toBe('text/x-test');
    expect(Buffer.from(String(headers['x-amz-meta-colour']), 'latin1').toString()).toBe('grün');
    expect((await post(form({ fields, conditions: anything }))).code).toBe('AccessDenied');
  });

  test.each<[string, Wish, string]>([
    ['by another secret', { secret: 'other' }, 'SignatureDoesNotMatch'],
    ['that is expired', { expiration: '2020-01-01T00:00:00Z' }, 'AccessDenied'],
    ['whose key is not allowed', { fields: { key: 'b' } }, 'AccessDenied'],
    ['with a field that no condition covers', { fields: { 'x-amz-meta-a': 'b' } }, 'AccessDenied'],
    ['for another bucket', { conditions: [...anything, { bucket: 'other' }] }, 'AccessDenied'],
    ['with too large a file', { conditions: [...anything, ['content-length-range', 0, 7]] }, 'EntityTooLarge'],
    ['with too small a file', { conditions: [...anything, ['content-length-range', 9, 99]] }, 'EntityTooSmall'],
    ['with a broken range', { conditions: [...anything, ['content-length-range', -1, 99]] }, 'InvalidPolicyDocument'],
    ['with an operator that is not known', { conditions: [...anything, ['matches', '$key', '']] }, 'InvalidPolicyDocument'],
    ['without conditions', { conditions: [] }, 'InvalidPolicyDocument'],
    ['with a policy that is no JSON', { policy: (text) => text.slice(1) }, 'InvalidPolicyDocument'],
    ['with an expiration that is no time', { expiration: 'tomorrow' }, 'InvalidPolicyDocument'],
    ['without a file', { file: null }, 'InvalidArgument'],
    ['without a key', { fields: { key: '' } }, 'InvalidArgument'],
    ['by Signature Version 2', { fields: { AWSAccessKeyId: ACCESS_KEY } }, 'InvalidRequest'],
    ['with a wrong checksum', { fields: { key: 'sum', 'x-amz-checksum-crc32': 'AAAAAA==' }, conditions: [...anything, ['starts-with', '$x-amz-checksum-crc32', '']] }, 'BadDigest'],
    ['with a header that is not built', { fields: { key: 'x', 'x-amz-website-redirect-location': '/' }, conditions: [...anything, ['starts-with', '$x-amz-website-redirect-location', '']] }, 'NotImplemented'],
  ])('%s is refused', async (_name, wish, code) => {
    expect((await post(form(wish))).code).toBe(code);
  });

  test('names no account without a policy', async () => {
    const body = form();
    body.delete('policy');
    expect((await post(body)).code).toBe('InvalidArgument');
  });
});

describe('what a form asks to be answered', () => {
  const wish = (more: Record<string, string>): FormData =>
    form({ fields: { key: 'asked', ...more }, conditions: [...anything, ...Object.keys(more).map((name) => ['starts-with', `$${name}`, ''])] });

  test.each([
    ['200', 200],
    ['201', 201],
    ['204', 204],
    ['404', 204],
  ])('success_action_status %s', async (status, answered) => {
    const answer = await post(wish({ success_action_status: status }));
    expect(answer.status).toBe(answered);
    expect(answer.text.includes('<PostResponse><Location>')).toBe(status === '201');
  });

  test('success_action_redirect', async () => {
    const answer = await post(wish({ success_action_redirect: 'https://a.test/done?x=1' }));
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toMatch(/^https:\/\/a\.test\/done\?x=1&bucket=forms&key=asked&etag=%22[0-9a-f]{32}%22$/);
  });
});

describe('the body', () => {
  const parts = (tail: string, more = ''): string =>
    `--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nraw\r\n${more}--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n${FILE}${tail}`;
  const headers = { 'Content-Type': 'multipart/form-data; boundary=b' };

  test.each([
    ['ends without its boundary', parts(''), 'MalformedPOSTRequest'],
    ['ends without its last new line', parts('\r\n--b--'), 'MalformedPOSTRequest'],
    ['goes on after the file', parts('\r\n--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--b--\r\n'), 'MalformedPOSTRequest'],
    ['begins with something else', `x${parts('\r\n--b--\r\n')}`, 'MalformedPOSTRequest'],
    ['names no field', parts('\r\n--b--\r\n', '--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n'), 'MalformedPOSTRequest'],
    ['gives a field twice', parts('\r\n--b--\r\n', '--b\r\nContent-Disposition: form-data; name="KEY"\r\n\r\nx\r\n'), 'InvalidArgument'],
    ['has fields without end', parts('\r\n--b--\r\n', `--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n${'x'.repeat(40_000)}\r\n`), 'MaxPostPreDataLengthExceededError'],
  ])('that %s is refused', async (_name, body, code) => {
    expect((await post(body, headers, 'open')).code).toBe(code);
    expect(world.store.buckets.get('open')?.objects.has('raw')).toBe(false);
  });

  test('of an anonymous form is refused where nobody may write, and kept where everybody may', async () => {
    expect((await post(parts('\r\n--b--\r\n'), headers)).code).toBe('AccessDenied');
    expect(world.store.buckets.get('forms')?.objects.has('raw')).toBe(false);
    expect((await post(parts('\r\n--b--\r\n'), headers, 'open')).status).toBe(204);
    expect(world.store.buckets.get('open')?.objects.has('raw')).toBe(true);
  });

  test('that is no form is refused', async () => {
    expect((await post('x', { 'Content-Type': 'text/plain' })).code).toBe('PreconditionFailed');
  });
});
