import { describe, expect, test } from 'vitest';
import { isBucketName } from './uri.ts';

describe('bucket names', () => {
  test.each(['abc', '9-a.b', 'a'.repeat(63), 'a--b', '1.2.3.4.5', 'a.b.c'])('%s is one', (name) => {
    expect(isBucketName(name)).toBe(true);
  });

  const others = ['ab', 'a'.repeat(64), 'Abc', 'a_b', '-ab', 'ab-', '.ab', 'ab.', 'a..b', 'a.-b', 'a-.b', '192.168.5.4'];
  test.each([...others, 'xn--abc', 'abc-s3alias', 'ä-b'])('%s is none', (name) => {
    expect(isBucketName(name)).toBe(false);
  });
});
