import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, utf8 } from '../../../base/bytes.ts';
import { AwsChunkedDecoder } from './aws-chunked.ts';
import type { AwsChunkedOptions } from './aws-chunked.ts';
import { S3Error } from '../http/errors.ts';
import { signingKey } from '../auth/sigv4.ts';
import type { ChunkSigning } from '../auth/sigv4.ts';

interface Decoded {
  readonly content: Uint8Array;
  readonly trailer: string | undefined;
}

function decode(options: AwsChunkedOptions, pieces: readonly Uint8Array[]): Decoded {
  const decoder = new AwsChunkedDecoder(options);
  const content = pieces.flatMap((piece) => decoder.push(piece));
  return { content: concat(...content), trailer: decoder.end() };
}

/** The content, or the code of the refusal. */
function attempt(options: AwsChunkedOptions, pieces: readonly Uint8Array[]): string {
  try {
    const { content, trailer } = decode(options, pieces);
    return `${Buffer.from(content).toString('latin1')}|${trailer ?? ''}`;
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

const unsigned = (size: number): AwsChunkedOptions => ({
  size,
  signing: undefined,
  trailer: 'x-amz-checksum-crc32',
});

/** Amazon's published examples: 65 KiB of "a" in a chunk of 64 KiB and one of 1 KiB. */
const example = (seed: string): ChunkSigning => ({
  key: signingKey('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', '20130524', 'us-east-1'),
  timestamp: '20130524T000000Z',
  scope: '20130524/us-east-1/s3/aws4_request',
  seed,
});
const A = 'a'.repeat(65_536);

describe("Amazon's published examples", () => {
  const plain = {
    size: 66_560,
    signing: example('4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9'),
    trailer: undefined,
  };
  const plainBody =
    `10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n${A}\r\n` +
    `400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n${'a'.repeat(1024)}\r\n` +
    '0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n';

  test('a signed body verifies', () => {
    expect(decode(plain, [utf8(plainBody)]).content.length).toBe(66_560);
  });

  test('a signed body with one changed bit, chunk or order does not', () => {
    const changed = (from: string, to: string): string => attempt(plain, [utf8(plainBody.replace(from, to))]);
    expect(changed('aaaa', 'aaab')).toBe('SignatureDoesNotMatch');
    expect(changed('=ad80', '=ad81')).toBe('SignatureDoesNotMatch');
    expect(changed('=b6c6', '=b6c7')).toBe('SignatureDoesNotMatch');
    expect(
      changed(';chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648', ''),
    ).toBe('InvalidChunkSizeError');
    expect(attempt({ ...plain, signing: example('0'.repeat(64)) }, [utf8(plainBody)])).toBe(
      'SignatureDoesNotMatch',
    );
  });

  const trailing = {
    size: 66_560,
    signing: example('106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e'),
    trailer: 'x-amz-checksum-crc32c',
  };
  const trailingBody = (between: string): string =>
    `10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n${A}\r\n` +
    `400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n${'a'.repeat(1024)}\r\n` +
    '0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n' +
    `x-amz-checksum-crc32c:sOO8/Q==${between}` +
    'x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n';

  test.each(['\r\n', '\n\r\n'])('a signed trailer ended by %j verifies', (between) => {
    expect(decode(trailing, [utf8(trailingBody(between))]).trailer).toBe('sOO8/Q==');
  });

  test('a changed, unsigned or missing trailer does not', () => {
    const body = trailingBody('\r\n');
    expect(attempt(trailing, [utf8(body.replace('sOO8', 'sOO9'))])).toBe('SignatureDoesNotMatch');
    expect(attempt(trailing, [utf8(body.replace(/x-amz-trailer-signature:.*\r\n/, ''))])).toBe(
      'IncompleteBody',
    );
    expect(attempt(trailing, [utf8(body.replace(/x-amz-checksum-crc32c:.*\r\n/, ''))])).toBe(
      'MalformedTrailerError',
    );
    expect(attempt(trailing, [utf8(body.slice(0, -2))])).toBe('IncompleteBody');
  });
});

describe('unsigned chunks', () => {
  const good = '3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n';

  test('give content and trailer', () => {
    expect(attempt(unsigned(5), [utf8(good)])).toBe('abcde|AAAAAA==');
  });

  test.each([
    ['no size', '\r\nabc', 'InvalidChunkSizeError'],
    ['a size that is no number', 'xyz\r\nabc\r\n', 'InvalidChunkSizeError'],
    ['a negative size', '-1\r\n', 'InvalidChunkSizeError'],
    ['a size of seventeen digits', '10000000000000000\r\n', 'InvalidChunkSizeError'],
    ['a size above the whole', '6\r\nabcdef\r\n', 'InvalidChunkSizeError'],
    ['an enormous size', 'ffffffffffffffff\r\n', 'InvalidChunkSizeError'],
    ['an unknown extension', '3;a=b\r\nabc\r\n', 'InvalidChunkSizeError'],
    ['a signature', `3;chunk-signature=${'0'.repeat(64)}\r\nabc\r\n`, 'InvalidChunkSizeError'],
    ['a bare line feed', '3\nabc\r\n', 'InvalidChunkSizeError'],
    ['content longer than its chunk', '3\r\nabcd\r\n', 'InvalidChunkSizeError'],
    ['an endless header', '0'.repeat(10_000), 'InvalidChunkSizeError'],
    ['too little content', '3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n', 'IncompleteBody'],
    ['no last chunk', '5\r\nabcde\r\n', 'IncompleteBody'],
    ['no trailer', '5\r\nabcde\r\n0\r\n\r\n', 'MalformedTrailerError'],
    ['another trailer', '5\r\nabcde\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n', 'MalformedTrailerError'],
    [
      'a trailer twice',
      '5\r\nabcde\r\n0\r\nx-amz-checksum-crc32:A\r\nx-amz-checksum-crc32:B\r\n\r\n',
      'MalformedTrailerError',
    ],
    [
      'an endless trailer',
      `5\r\nabcde\r\n0\r\nx-amz-checksum-crc32:${'A'.repeat(5000)}`,
      'MalformedTrailerError',
    ],
    ['bytes after the end', `${good}x`, 'InvalidChunkSizeError'],
    ['nothing', '', 'IncompleteBody'],
  ])('with %s are refused', (_name, body, code) => {
    expect(attempt(unsigned(5), [utf8(body)])).toBe(code);
  });

  test('of no content need only the last chunk', () => {
    expect(attempt(unsigned(0), [utf8('0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n')])).toBe('|AAAAAA==');
  });
});

/** Cuts bytes at arbitrary places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return edges.slice(1).map((edge, i) => bytes.subarray(edges[i] ?? 0, edge));
}

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Encodes apart from the decoder: the chunks of `contents`, signed when a key is given, with one trailer. */
function encode(
  contents: readonly Uint8Array[],
  signing: ChunkSigning | undefined,
  trailer: string,
): Uint8Array {
  let previous = signing?.seed ?? '';
  const link = (purpose: string, hashes: readonly string[]): string => {
    const text = [purpose, signing?.timestamp, signing?.scope, previous, ...hashes].join('\n');
    previous = createHmac('sha256', signing?.key ?? '')
      .update(text)
      .digest('hex');
    return previous;
  };
  const parts: Uint8Array[] = [];
  for (const content of [...contents.filter((piece) => piece.length > 0), new Uint8Array(0)]) {
    const signature =
      signing === undefined
        ? ''
        : `;chunk-signature=${link('AWS4-HMAC-SHA256-PAYLOAD', [sha256(''), sha256(content)])}`;
    parts.push(
      utf8(`${content.length.toString(16)}${signature}\r\n`),
      content,
      utf8(content.length > 0 ? '\r\n' : ''),
    );
  }
  const line = `x-amz-checksum-crc32:${trailer}`;
  parts.push(utf8(`${line}\r\n`));
  if (signing !== undefined)
    parts.push(
      utf8(`x-amz-trailer-signature:${link('AWS4-HMAC-SHA256-TRAILER', [sha256(`${line}\n`)])}\r\n`),
    );
  return concat(...parts, utf8('\r\n'));
}

const contentsOf = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 });
const places = fc.array(fc.nat(5000), { maxLength: 12 });

describe('whatever the cuts between network reads', () => {
  test.each([undefined, example('5'.repeat(64))])('what was encoded is decoded (case %#)', (signing) => {
    fc.assert(
      fc.property(contentsOf, places, (contents, at) => {
        const content = concat(...contents);
        const options = { ...unsigned(content.length), signing };
        const decoded = decode(options, cut(encode(contents, signing, 'AAAAAA=='), at));
        expect(Buffer.from(decoded.content).equals(content)).toBe(true);
        expect(decoded.trailer).toBe('AAAAAA==');
      }),
    );
  });

  test('garbage gets the same answer, and never anything but a refusal or content of the right size', () => {
    const alphabet = fc.constantFrom(
      '0',
      '1',
      '5',
      'a',
      ';',
      ':',
      '\r',
      '\n',
      '\r\n',
      'x-amz-checksum-crc32:',
      '0\r\n',
      'abcde',
    );
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 30 }), places, (words, at) => {
        const bytes = utf8(words.join(''));
        const whole = attempt(unsigned(5), [bytes]);
        expect(attempt(unsigned(5), cut(bytes, at))).toBe(whole);
        if (whole.includes('|')) expect(whole.indexOf('|')).toBe(5);
      }),
      { numRuns: 500 },
    );
  });

  test('a signed body with any one byte changed is refused or decodes to the same', () => {
    const signing = example('5'.repeat(64));
    fc.assert(
      fc.property(contentsOf, fc.nat(5000), fc.integer({ min: 1, max: 255 }), (contents, place, change) => {
        const body = encode(contents, signing, 'AAAAAA==');
        const at = place % body.length;
        body[at] = (body[at] ?? 0) ^ change;
        const content = concat(...contents);
        const result = attempt({ ...unsigned(content.length), signing }, [body]);
        // Only the case of a size digit or of the trailer's name may change without a consequence.
        if (result.includes('|')) expect(result).toBe(`${Buffer.from(content).toString('latin1')}|AAAAAA==`);
      }),
    );
  });
});
