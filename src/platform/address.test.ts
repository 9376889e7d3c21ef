/** Addresses: what is read is what was written, and nothing vague is read at all. */
import { expect, test } from 'vitest';
import { isOperationError } from '../base/errors.ts';
import { formatAddress, parseAddress } from './address.ts';

test.each([
  ['127.0.0.1:8443', '127.0.0.1', 8443],
  ['node-3.example.org:1', 'node-3.example.org', 1],
  ['[::1]:65535', '::1', 65_535],
  ['localhost:0', 'localhost', 0],
])('%s is a host and a port, and is written back the same', (text, host, port) => {
  expect(parseAddress(text)).toEqual({ host, port });
  expect(formatAddress({ host, port })).toBe(text);
});

test.each(['', 'localhost', ':80', 'a:', 'a:65536', 'a:-1', '::1:80', '[::1]', 'a b:1', 'http://a:1', 'a:1/x'])(
  '%j is refused with BAD_ARGUMENT',
  (text) => {
    let caught: unknown;
    try {
      parseAddress(text);
    } catch (error) {
      caught = error;
    }
    expect(isOperationError(caught, 'BAD_ARGUMENT')).toBe(true);
  },
);
