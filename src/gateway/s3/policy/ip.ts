/** IP addresses and ranges, as conditions on aws:SourceIp name them. */

/** 4 or 16 bytes. An IPv4 address that came mapped into IPv6 is IPv4. */
export type Ip = readonly number[];

export interface Cidr {
  readonly address: Ip;
  readonly bits: number;
}

function parseIpv4(text: string): Ip | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

/** The 16-bit groups of one side of `::`; a trailing IPv4 address counts as two. */
function groupsOf(text: string): readonly number[] | undefined {
  if (text === '') return [];
  const out: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    const ipv4 = i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (ipv4 !== undefined) {
      const [a = 0, b = 0, c = 0, d = 0] = ipv4;
      out.push(a * 256 + b, c * 256 + d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return out;
}

function parseIpv6(text: string): Ip | undefined {
  const sides = text.split('::');
  if (sides.length > 2) return undefined;
  const [head, tail] = sides.map(groupsOf);
  if (head === undefined || (sides.length === 2 && tail === undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (sides.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...(tail ?? [])];
  const bytes = groups.flatMap((group) => [group >> 8, group & 255]);
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  return isMapped ? bytes.slice(12) : bytes;
}

export function parseIp(text: string): Ip | undefined {
  if (text.length > 64) return undefined;
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** An address alone is a range of one. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = '', bitsText, ...rest] = text.split('/');
  const parsed = parseIp(address);
  if (parsed === undefined || rest.length > 0) return undefined;
  if (bitsText === undefined) return { address: parsed, bits: parsed.length * 8 };
  if (!/^\d{1,3}$/.test(bitsText) || Number(bitsText) > parsed.length * 8) return undefined;
  return { address: parsed, bits: Number(bitsText) };
}

export function isWithin(address: Ip, range: Cidr): boolean {
  if (address.length !== range.address.length) return false;
  for (let bit = 0; bit < range.bits; bit += 1) {
    const mask = 128 >> (bit % 8);
    const at = bit >> 3;
    if (((address[at] ?? 0) & mask) !== ((range.address[at] ?? 0) & mask)) return false;
  }
  return true;
}
