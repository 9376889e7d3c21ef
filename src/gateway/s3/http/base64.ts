/**
 * Strict base64 (RFC 4648 section 4) and base64url without padding (section 5). Decoding accepts exactly what
 * encoding writes: right padding, no white space, no stray bits, so that one value has one spelling.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const URL_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function encode(bytes: Uint8Array, alphabet: string): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out += (alphabet[group >>> 18] ?? '') + (alphabet[(group >>> 12) & 63] ?? '');
    if (left > 1) out += alphabet[(group >>> 6) & 63] ?? '';
    if (left > 2) out += alphabet[group & 63] ?? '';
  }
  return out;
}

function decode(text: string, alphabet: string): Uint8Array | undefined {
  if (text.length % 4 === 1) return undefined;
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of text) {
    const value = alphabet.indexOf(letter);
    if (value < 0) return undefined;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[at] = (held >>> bits) & 0xff;
      at += 1;
    }
  }
  return (held & ((1 << bits) - 1)) === 0 ? out : undefined;
}

export function base64(bytes: Uint8Array): string {
  const text = encode(bytes, ALPHABET);
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=');
}

export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  return decode(text.replace(/={1,2}$/, ''), ALPHABET);
}

export function base64url(bytes: Uint8Array): string {
  return encode(bytes, URL_ALPHABET);
}

export function fromBase64url(text: string): Uint8Array | undefined {
  return decode(text, URL_ALPHABET);
}
