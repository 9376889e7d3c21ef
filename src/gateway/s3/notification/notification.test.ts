import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { isOperationError, OperationError } from '../../../base/errors.ts';
import { postWebhook } from '../../../platform/webhook-client.ts';
import { S3Error } from '../http/errors.ts';
import { ask, OWNER, startS3World } from '../s3-world.contract.ts';
import type { Answer, S3World } from '../s3-world.contract.ts';
import { encodeNotification, parseNotification, rulesFor } from './document.ts';
import { MemoryQueue } from './event-queue.ts';
import { Notifier, SIGNATURE_HEADER } from './notifier.ts';
import type { NotifierLimits, PostWebhook, WebhookPost } from './notifier.ts';
import { checkedWebhooks } from './webhooks.ts';
import type { EventSink, ObjectEvent } from '../port/events.ts';

const SECRET = 'a secret of the operator';
const HOOK = { name: 'hook', url: 'https://receiver.example/events', secret: SECRET };

const queue = (events: string[], more = '', arn = 'arn:holdfast:sqs::hook:webhook'): string =>
  `<QueueConfiguration><Queue>${arn}</Queue>${events.map((event) => `<Event>${event}</Event>`).join('')}${more}</QueueConfiguration>`;
const filter = (name: string, value: string): string =>
  `<Filter><S3Key><FilterRule><Name>${name}</Name><Value>${value}</Value></FilterRule></S3Key></Filter>`;
const configuration = (...content: string[]): string => `<NotificationConfiguration>${content.join('')}</NotificationConfiguration>`;

let world: S3World;
let notifier: Notifier;
let posts: WebhookPost[];
let answer: () => Promise<number>;

async function start(limits: Partial<NotifierLimits> = {}): Promise<void> {
  posts = [];
  answer = () => Promise.resolve(200);
  const webhooks = checkedWebhooks([HOOK]);
  const post: PostWebhook = (sent) => {
    posts.push(sent);
    return answer();
  };
  // The notifier needs the world's store, and the world a sink: this one stands between.
  const sink: EventSink = { emit: (event) => notifier.emit(event) };
  world = await startS3World({ events: sink, webhooks: new Set(webhooks.keys()) });
  const { store, telemetry, clock } = world;
  notifier = new Notifier({ store, clock, telemetry, region: 'us-east-1', webhooks, queue: new MemoryQueue(), post, limits: { retryMs: 1, ...limits } });
  store.addBucket('box', { versioning: 'enabled' });
}

beforeEach(() => start());

afterEach(async () => {
  await notifier.stop();
  await world.close();
});

const about = (method: string, body = '', headers: Record<string, string> = {}): Promise<Answer> =>
  ask(world, { method, path: '/box', query: { notification: '' }, body, headers });
const on = (...events: string[]): Promise<Answer> => about('PUT', configuration(queue(events)));
const act = (method: string, key: string, query: Record<string, string> = {}, body = ''): Promise<Answer> =>
  ask(world, { method, path: `/box/${key}`, query, body });

interface Told {
  readonly eventName: string;
  readonly userIdentity: { readonly principalId: string };
  readonly s3: { readonly configurationId: string; readonly object: { readonly key: string; readonly size?: number; readonly eTag?: string; readonly sequencer: string } };
}

async function records(): Promise<Told[]> {
  await notifier.idle();
  return posts.flatMap(({ body }) => (JSON.parse(body) as { Records: Told[] }).Records);
}

describe('a notification configuration', () => {
  test('is empty, is put, given back and emptied', async () => {
    expect((await about('GET')).text).toContain('<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></NotificationConfiguration>');
    expect((await about('PUT', configuration(queue(['s3:ObjectCreated:*'], `<Id>mine</Id>${filter('Prefix', 'a/')}`)))).status).toBe(200);
    expect((await about('GET')).text).toContain('<QueueConfiguration><Id>mine</Id><Queue>arn:holdfast:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event>');
    expect((await about('PUT', configuration())).status).toBe(200);
    expect(world.store.buckets.get('box')?.state.documents.notification).toBeUndefined();
  });

  test('names a webhook of the operator, unless the client wants that not to be checked', async () => {
    const other = configuration(queue(['s3:ObjectCreated:*'], '', 'arn:holdfast:sqs::other:webhook'));
    expect((await about('PUT', other)).code).toBe('InvalidArgument');
    expect((await about('PUT', other, { 'x-amz-skip-destination-validation': 'true' })).status).toBe(200);
  });

  test.each<[string, string, string]>([
    ['a URL', queue(['s3:ObjectCreated:*'], '', 'http://169.254.169.254/'), 'InvalidArgument'],
    ['an ARN of AWS', queue(['s3:ObjectCreated:*'], '', 'arn:aws:sqs:us-east-1:1:hook'), 'InvalidArgument'],
    ['the ARN of a topic', queue(['s3:ObjectCreated:*'], '', 'arn:holdfast:sns::hook:webhook'), 'InvalidArgument'],
    ['an event that is never sent', queue(['s3:ReducedRedundancyLostObject']), 'InvalidArgument'],
    ['everything', queue(['*']), 'InvalidArgument'],
    ['no event', queue([]), 'MalformedXML'],
    ['another filter', queue(['s3:ObjectCreated:*'], filter('infix', 'a')), 'InvalidArgument'],
    ['a function', '<CloudFunctionConfiguration/>', 'NotImplemented'],
    ['a bridge', '<EventBridgeConfiguration/>', 'NotImplemented'],
    ['what would be told twice', queue(['s3:ObjectCreated:*'], filter('prefix', 'a')) + queue(['s3:ObjectCreated:Put'], filter('prefix', 'ab')), 'InvalidArgument'],
  ])('with %s is refused', async (_, content, code) => {
    expect((await about('PUT', configuration(content))).code).toBe(code);
  });

  test('is written so that it is read back', () => {
    const rules = parseNotification(utf8(configuration(queue(['s3:ObjectCreated:*'], filter('suffix', '.jpg')), queue(['s3:ObjectRemoved:*']))));
    expect(parseNotification(utf8(encodeNotification(rules)))).toEqual(rules);
    expect(rulesFor(rules, 's3:ObjectCreated:Put', 'a.jpg').map(({ id }) => id)).toEqual(['notification-1']);
    expect(rulesFor(rules, 's3:ObjectCreated:Put', 'a.png')).toEqual([]);
    expect(() => parseNotification(utf8('<NotificationConfiguration'))).toThrow(S3Error);
  });
});

describe('an event', () => {
  test('of a put says what was put, signed so that the receiver knows it', async () => {
    await on('s3:ObjectCreated:*');
    await act('PUT', 'a key+ü', {}, 'content');
    const [told] = await records();
    expect(told).toMatchObject({ eventName: 'ObjectCreated:Put', userIdentity: { principalId: OWNER }, s3: { configurationId: 'notification-1', object: { key: 'a+key%2B%C3%BC', size: 7 } } });
    const [sent] = posts;
    const [, time, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(sent?.headers[SIGNATURE_HEADER] ?? '') ?? [];
    expect(signature).toBe(createHmac('sha256', SECRET).update(`${String(time)}.${String(sent?.body)}`).digest('hex'));
    expect(sent?.url).toBe(HOOK.url);
  });

  test('of a deletion says whether a marker was laid; of the same key the later has the greater sequencer', async () => {
    await on('s3:ObjectCreated:*', 's3:ObjectRemoved:*');
    await act('PUT', 'a', {}, 'one');
    await act('PUT', 'a', {}, 'two');
    await act('DELETE', 'a');
    const told = await records();
    expect(told.map(({ eventName }) => eventName)).toEqual(['ObjectCreated:Put', 'ObjectCreated:Put', 'ObjectRemoved:DeleteMarkerCreated']);
    const sequencers = told.map(({ s3 }) => s3.object.sequencer);
    expect([...sequencers].sort()).toEqual(sequencers);
    expect(new Set(sequencers).size).toBe(3);
  });

  test('is not told of what failed, of what is not known, of other keys and of reads', async () => {
    await about('PUT', configuration(queue(['s3:ObjectCreated:*'], filter('prefix', 'wanted/'))));
    world.store.fail = 'NO_QUORUM';
    await act('PUT', 'wanted/a', {}, 'x');
    world.store.fail = 'unknown';
    await act('PUT', 'wanted/a', {}, 'x');
    await act('PUT', 'other', {}, 'x');
    await act('GET', 'wanted/a');
    expect(await records()).toEqual([]);
  });
});

const event = (key: string): ObjectEvent => ({
  name: 's3:ObjectCreated:Put', bucket: 'box', key, timeMs: world.clock.nowMs(), versionId: undefined, etag: 'e', size: 1, accountId: undefined, sourceAddress: undefined, requestId: 'R',
});
const dropped = (reason: string): number => world.telemetry.counts.get(`s3_events_dropped reason=${reason}`) ?? 0;

describe('a receiver', () => {
  test('that fails for a while gets every event, in order', async () => {
    await on('s3:ObjectCreated:*');
    let failures = 3;
    answer = () => {
      failures -= 1;
      if (failures === 1) return Promise.reject(new OperationError('UNREACHABLE', 'as the test asked'));
      return Promise.resolve(failures >= 0 ? 503 : 204);
    };
    for (const key of ['a', 'b', 'c']) await act('PUT', key, {}, 'x');
    await notifier.idle();
    const taken = posts.slice(3).map(({ body }) => (JSON.parse(body) as { Records: Told[] }).Records[0]?.s3.object.key);
    expect(taken).toEqual(['a', 'b', 'c']);
    expect(world.telemetry.counts.get('s3_events_retried')).toBe(3);
  });

  test('that takes nothing costs a bounded memory, and what is dropped is counted', async () => {
    await notifier.stop();
    await world.close();
    await start({ waitingMax: 4 });
    await on('s3:ObjectCreated:*');
    let release: (status: number) => void = () => undefined;
    answer = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    await Promise.all(Array.from({ length: 10 }, (_, i) => notifier.emit(event(String(i)))));
    expect(dropped('queue-full')).toBe(6);
    answer = () => Promise.resolve(200);
    release(500);
    await notifier.idle();
    expect(new Set(posts.map(({ body }) => body)).size).toBe(4);
  });

  test('that is gone is not told of what is too old', async () => {
    await on('s3:ObjectCreated:*');
    answer = () => {
      world.clock.shiftMs += 25 * 3600 * 1000;
      return Promise.resolve(500);
    };
    await notifier.emit(event('a'));
    await notifier.idle();
    expect([posts.length, dropped('too-old')]).toEqual([1, 1]);
    world.clock.shiftMs = 0;
  });

  test('of a change that cannot be queued: the change is not acknowledged, and told when it is repeated', async () => {
    await on('s3:ObjectCreated:*');
    const told: ObjectEvent[] = [];
    const emit = vi.spyOn(notifier, 'emit').mockRejectedValueOnce(new OperationError('DISK_FULL', 'as the test asked'));
    emit.mockImplementation((one) => Promise.resolve(void told.push(one)));
    expect((await act('PUT', 'a', {}, 'x')).status).toBe(500);
    expect((await act('PUT', 'a', {}, 'x')).status).toBe(200);
    expect(told.map(({ key }) => key)).toEqual(['a']);
    emit.mockRestore();
  });

  test('of an upload is told when the client completes it once more', async () => {
    await on('s3:ObjectCreated:*');
    const made = await act('POST', 'parts', { uploads: '' });
    const uploadId = /<UploadId>([^<]+)</.exec(made.text)?.[1] ?? '';
    const part = await act('PUT', 'parts', { partNumber: '1', uploadId }, 'part');
    const list = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers.etag ?? ''}</ETag></Part></CompleteMultipartUpload>`;
    const emit = vi.spyOn(notifier, 'emit').mockRejectedValueOnce(new OperationError('DISK_FULL', 'as the test asked'));
    expect((await act('POST', 'parts', { uploadId }, list)).status).toBe(500);
    emit.mockRestore();
    expect((await act('POST', 'parts', { uploadId }, list)).status).toBe(200);
    expect(await records()).toMatchObject([{ eventName: 'ObjectCreated:CompleteMultipartUpload', s3: { object: { key: 'parts', size: 4 } } }]);
  });

  test('that does not want it any more is not asked again', async () => {
    await on('s3:ObjectCreated:*');
    answer = () => Promise.resolve(410);
    await notifier.emit(event('a'));
    await notifier.idle();
    expect([posts.length, dropped('refused')]).toEqual([1, 1]);
  });
});

describe('a webhook', () => {
  test.each<[string, Partial<typeof HOOK>]>([
    ['in the clear', { url: 'http://receiver.example/' }],
    ['of another scheme', { url: 'file:///etc/passwd' }],
    ['with credentials', { url: 'https://user:secret@receiver.example/' }],
    ['that is no URL', { url: 'receiver' }],
    ['with a short secret', { secret: 'short' }],
    ['with an odd name', { name: 'a:b' }],
  ])('%s is refused when the gateway starts', (_, change) => {
    expect(() => checkedWebhooks([{ ...HOOK, ...change }])).toThrow(OperationError);
  });

  test('of this machine may be plain', () => {
    expect([...checkedWebhooks([{ ...HOOK, url: 'http://127.0.0.1:9/x' }]).keys()]).toEqual(['hook']);
    expect(() => checkedWebhooks([HOOK, HOOK])).toThrow(OperationError);
  });

  test('is posted to, its redirect not followed, and given up when it does not answer', async () => {
    const seen: string[] = [];
    const server = createServer((request, reply) => {
      let body = '';
      request.on('data', (piece: Buffer) => (body += piece.toString()));
      request.on('end', () => {
        seen.push(`${request.method ?? ''} ${request.url ?? ''} ${body}`);
        if (request.url === '/slow') return;
        reply.writeHead(302, { Location: '/elsewhere' }).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const signal = new AbortController().signal;
    expect(await postWebhook({ url: `${url}/hook`, headers: {}, body: 'ü', timeoutMs: 5000 }, signal)).toBe(302);
    const slow = await postWebhook({ url: `${url}/slow`, headers: {}, body: '', timeoutMs: 50 }, signal).catch((error: unknown) => error);
    expect(isOperationError(slow, 'UNREACHABLE')).toBe(true);
    expect(seen).toEqual(['POST /hook ü', 'POST /slow ']);
    server.closeAllConnections();
    server.close();
  });
});
