/**
 * Signature Version 4 for URLs and forms, which the SDK's client does not make by itself. Written for the tests
 * alone, so that it cannot share a mistake with the gateway.
 */
import { createHash, createHmac } from 'node:crypto';
import type { ClientEndpoint } from '../endpoints.ts';

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const encode = (text: string): string => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

interface Stamp {
  readonly time: string;
  readonly scope: string;
  readonly credential: string;
  sign(text: string): string;
}

function stampOf({ accessKeyId, secretAccessKey, region }: ClientEndpoint, date: Date): Stamp {
  const time = date.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const words = [time.slice(0, 8), region, 's3', 'aws4_request'];
  const key = words.reduce<string | Buffer>((so, word) => hmac(so, word), `AWS4${secretAccessKey}`);
  const scope = words.join('/');
  return { time, scope, credential: `${accessKeyId}/${scope}`, sign: (text) => hmac(key, text).toString('hex') };
}

/** A URL that does one thing for so long. */
export function presigned(endpoint: ClientEndpoint, method: string, bucket: string, key: string, query: Readonly<Record<string, string>> = {}, date: Date = new Date(), seconds: number = 60): string {
  const { host } = new URL(endpoint.origin);
  const stamp = stampOf(endpoint, date);
  const parameters = { ...query, 'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': stamp.credential, 'X-Amz-Date': stamp.time, 'X-Amz-Expires': String(seconds), 'X-Amz-SignedHeaders': 'host' };
  const path = `/${bucket}/${key.split('/').map(encode).join('/')}`;
  const asked = Object.entries(parameters).map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join('&');
  const canonical = [method, path, asked, `host:${host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const text = ['AWS4-HMAC-SHA256', stamp.time, stamp.scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  return `${endpoint.origin}${path}?${asked}&X-Amz-Signature=${stamp.sign(text)}`;
}

/** A form as a browser sends it, for a key under `prefix`; `conditions` beside those of its own fields. */
export function signedForm(endpoint: ClientEndpoint, bucket: string, fields: Readonly<Record<string, string>>, prefix: string, conditions: readonly unknown[], file: string): FormData {
  const stamp = stampOf(endpoint, new Date());
  const own = { ...fields, 'x-amz-algorithm': 'AWS4-HMAC-SHA256', 'x-amz-credential': stamp.credential, 'x-amz-date': stamp.time };
  const expiration = new Date(Date.now() + 60_000).toISOString();
  const policy = { expiration, conditions: [{ bucket }, ...Object.entries(own).map(([name, value]) => ({ [name]: value })), ['starts-with', '$key', prefix], ...conditions] };
  const encoded = Buffer.from(JSON.stringify(policy)).toString('base64');
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...own, key: `${prefix}\${filename}`, policy: encoded, 'x-amz-signature': stamp.sign(encoded) })) form.set(name, value);
  form.set('file', new Blob([file]), 'named.txt');
  return form;
}
