/**
 * Base 64 of RFC 4648 section 4, with padding, as C2SP's text formats use it. Decoding is strict: one text
 * per byte string, so unused bits must be zero and nothing may stand between or after the characters.
 */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Map([...ALPHABET].map((character, value) => [character, value]));

export function toBase64(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const [a, b, c] = [bytes[i] ?? 0, bytes[i + 1], bytes[i + 2]];
    const group = a * 65_536 + (b ?? 0) * 256 + (c ?? 0);
    out += ALPHABET.charAt(group >> 18) + ALPHABET.charAt((group >> 12) & 63);
    out += b === undefined ? '=' : ALPHABET.charAt((group >> 6) & 63);
    out += c === undefined ? '=' : ALPHABET.charAt(group & 63);
  }
  return out;
}

/** The bytes, or null when the text is not what `toBase64` gives for them. */
export function fromBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0) return null;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let i = 0; i < text.length; i += 4) {
    let group = 0;
    const characters = i + 4 === text.length ? 4 - padding : 4;
    for (let j = 0; j < 4; j += 1) {
      const value = j < characters ? VALUES.get(text.charAt(i + j)) : 0;
      if (value === undefined) return null;
      group = group * 64 + value;
    }
    const bytes = [group >> 16, (group >> 8) & 255, group & 255];
    for (const byte of bytes.slice(0, characters - 1)) out[at++] = byte;
    if (bytes.slice(characters - 1).some((rest) => rest !== 0)) return null;
  }
  return out;
}
