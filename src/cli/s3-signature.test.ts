import { describe, expect, it } from 'vitest';
import { objectPath, percentEncode, queryString, signRequest } from './s3-signature.ts';

const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const day = new Date('2013-05-24T00:00:00Z');
const host = 'examplebucket.s3.amazonaws.com';

/** The examples of "Authenticating Requests: Using the Authorization Header" in the S3 API reference. */
describe('signRequest gives the signatures of the S3 reference', () => {
  it('for GET Object with a range', () => {
    const request = { method: 'GET', path: '/test.txt', query: [], headers: { host, range: 'bytes=0-9' }, payloadHash: EMPTY };
    expect(signRequest(request, credentials, day)['authorization']).toContain(
      'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    );
  });

  it('for GET Bucket with a query', () => {
    const request = {
      method: 'GET',
      path: '/',
      query: [['prefix', 'J'], ['max-keys', '2']] as const,
      headers: { host },
      payloadHash: EMPTY,
    };
    expect(signRequest(request, credentials, day)['authorization']).toContain(
      'Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    );
  });

  it('for PUT Object with a key that needs encoding', () => {
    const request = {
      method: 'PUT',
      path: '/test%24file.text',
      query: [],
      headers: { host, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      payloadHash: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    };
    expect(signRequest(request, credentials, day)['authorization']).toContain(
      'Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    );
  });
});

describe('encoding', () => {
  it('leaves only unreserved characters as they are', () => {
    expect(percentEncode("a-Z_0.9~!'()*/ ä")).toBe('a-Z_0.9~%21%27%28%29%2A%2F%20%C3%A4');
  });

  it('keeps the slashes between the segments of a key, also empty segments', () => {
    expect(objectPath('b', 'a//b c')).toBe('/b/a//b%20c');
    expect(objectPath('b', '')).toBe('/b');
  });

  it('sorts a query by its encoded names', () => {
    expect(queryString([['prefix', 'a/b'], ['list-type', '2']])).toBe('list-type=2&prefix=a%2Fb');
  });
});
