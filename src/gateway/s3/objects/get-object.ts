/**
 * GetObject and HeadObject: one pinned version, its conditions, its range, its bytes as a stream. The first
 * piece is read before the head is sent, so that an object that cannot be read answers an error; when a later
 * piece fails, the connection is cut, never padded or ended early.
 */
import type { HeaderField, HttpResponse } from '../../../base/http.ts';
import { attributeHeaders } from './attributes.ts';
import { emptyResponse } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { expiryOf } from './effects.ts';
import { evaluateConditions, parseRange, rangeApplies, resolveRange } from './conditions.ts';
import { S3Error } from '../http/errors.ts';
import { checksumHeaders, describingHeaders } from './metadata.ts';
import { choosePart } from './part-number.ts';
import type { ChosenPart } from './part-number.ts';
import type { ByteSpan, RangeRequest } from '../port/content.ts';
import type { ObjectInfo } from '../port/objects.ts';
import { customerKeyHeaders, customerKeyOf, refuseSealing, requireKeyOf } from './sealing.ts';
import { missing, versionAddressOf, versionHeaders } from '../versions/version-id.ts';

/** Everything of the answer but the bytes. */
interface Plan {
  readonly status: number;
  readonly headers: readonly HeaderField[];
  /** Undefined when the answer has no content. */
  readonly span: ByteSpan | undefined;
}

/** What is asked for of a version: all of it, a range, or a part. */
interface Asked {
  readonly range: RangeRequest | undefined;
  readonly part: ChosenPart | undefined;
}

function plan(call: Call, info: ObjectInfo, { range, part }: Asked): Plan {
  if (part !== undefined && part.etag !== info.etag)
    throw new S3Error('ConditionalRequestConflict', 'The object was replaced meanwhile. Ask again.');
  const describing = [
    ...describingHeaders(info, call.query),
    ...versionHeaders(info.versionId),
    ...attributeHeaders(info.attributes),
    ...customerKeyHeaders(info.customerKeyMd5),
  ];
  if (evaluateConditions(call.headers, info) === 'not-modified') {
    const kept = describing.filter(([name]) =>
      ['ETag', 'Last-Modified', 'Cache-Control', 'Expires', 'x-amz-version-id'].includes(name),
    );
    return { status: 304, headers: kept, span: undefined };
  }
  const isRange = range !== undefined && rangeApplies(call.headers, info);
  const whole = part?.span ?? { from: 0, to: info.size };
  const span = isRange ? resolveRange(range, info.size) : whole;
  const headers: HeaderField[] = [...describing, ['Content-Length', String(span.to - span.from)]];
  if (part !== undefined && part.partCount > 0) headers.push(['x-amz-mp-parts-count', String(part.partCount)]);
  const applies = isRange || (part !== undefined && span.to > span.from);
  if (applies)
    headers.push(['Content-Range', `bytes ${String(span.from)}-${String(span.to - 1)}/${String(info.size)}`]);
  // A checksum of the whole says nothing about a part of it.
  const checksum = part === undefined ? info.checksum : part.checksum;
  if (!isRange && call.headers.has('x-amz-checksum-mode')) headers.push(...checksumHeaders(checksum));
  return { status: applies ? 206 : 200, headers, span };
}

export const headObject: Feature = async (call) => {
  refuseSealing(call);
  const customerKey = customerKeyOf(call);
  const address = versionAddressOf(call);
  const range = parseRange(call.headers.get('range'));
  const part = await choosePart(call, address);
  const found = await call.store.headObject(address);
  if (found.outcome !== 'found') throw missing(found, address);
  requireKeyOf(found.info, customerKey);
  const { status, headers } = plan(call, found.info, { range, part });
  return emptyResponse(status, [...headers, ...(await expiryOf(call, address.bucket, address.key, found.info))]);
};

/** What the store should fetch first. */
function hintOf({ range, part }: Asked): RangeRequest | undefined {
  if (part === undefined || part.span.to === part.span.from) return range;
  return { kind: 'from', first: part.span.from, last: part.span.to - 1 };
}

export const getObject: Feature = async (call) => {
  refuseSealing(call);
  const customerKey = customerKeyOf(call);
  const range = parseRange(call.headers.get('range'));
  const address = versionAddressOf(call);
  const part = await choosePart(call, address);
  const asked = { range, part };
  const found = await call.store.getObject({ ...address, range: hintOf(asked), customerKey });
  if (found.outcome !== 'found') throw missing(found, address);
  let answer: Plan;
  let expiry: readonly HeaderField[];
  try {
    requireKeyOf(found.info, customerKey);
    answer = plan(call, found.info, asked);
    expiry = await expiryOf(call, address.bucket, address.key, found.info);
  } catch (error) {
    found.close();
    throw error;
  }
  const { status, span } = answer;
  const headers = [...answer.headers, ...expiry];
  if (span === undefined || span.from === span.to) {
    found.close();
    return emptyResponse(status, headers);
  }
  return { status, headers, ...(await begin(found.read(span), () => found.close())) };
};

/** The stream with its first piece already there. Whatever ends it, `close` runs once. */
async function begin(
  content: AsyncIterable<Uint8Array>,
  close: () => void,
): Promise<Pick<HttpResponse, 'body' | 'release'>> {
  const pieces = content[Symbol.asyncIterator]();
  let first: IteratorResult<Uint8Array>;
  try {
    first = await pieces.next();
  } catch (error) {
    close();
    throw error;
  }
  let pending: IteratorResult<Uint8Array> | undefined = first;
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const ready = pending;
        pending = undefined;
        return ready ?? (await pieces.next());
      },
      async return() {
        await pieces.return?.();
        return { done: true, value: undefined };
      },
    }),
  };
  return { body, release: close };
}
