import { describe, expect, test } from 'vitest';
import { addressOf, pathStyle } from './addressing.ts';

const NAMES = ['s3.example.com', 'example.com'];
const bucketOf = (host: string): string | undefined => addressOf(host, NAMES).bucket;

describe('where the bucket is', () => {
  test.each(['s3.example.com', 'S3.Example.COM:9000', 'localhost', 'localhost:80', '127.0.0.1:9000', '[::1]:9000'])(
    'in the path of %s',
    (host) => {
      expect(bucketOf(host)).toBeUndefined();
    },
  );

  test.each([
    ['photos.s3.example.com', 'photos'],
    ['photos.s3.example.com:9000', 'photos'],
    ['my.photos.s3.example.com', 'my.photos'],
    ['Photos.s3.example.com', 'photos'],
    ['photos.localhost:9000', 'photos'],
    ['photos.example.com', 'photos'],
  ])('before the name in %s', (host, bucket) => {
    expect(bucketOf(host)).toBe(bucket);
  });

  test.each([
    ['other.org', 'InvalidRequest'],
    ['s3.example.com.other.org', 'InvalidRequest'],
    ['xs3.example.org', 'InvalidRequest'],
    ['a_b.s3.example.com', 'InvalidBucketName'],
    ['.s3.example.com', 'InvalidBucketName'],
    ['a/b', 'InvalidRequest'],
    ['', 'InvalidRequest'],
  ])('nowhere in %s', (host, code) => {
    expect(() => addressOf(host, NAMES)).toThrow(expect.objectContaining({ code }));
  });

  test('the path of either style names the same', () => {
    expect(pathStyle(addressOf('photos.localhost', []), '/a/b')).toBe('/photos/a/b');
    expect(pathStyle(addressOf('photos.localhost', []), '/')).toBe('/photos/');
    expect(pathStyle(addressOf('localhost', []), '/photos/a/b')).toBe('/photos/a/b');
  });
});
