/**
 * The CORS configuration of a bucket: what a browser may let pages of other origins do here. It grants no
 * right of its own; it only says what a browser tells the page (cors-answer.ts).
 */
import { emptyResponse } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { configure, stateOf } from './state.ts';
import { S3Error } from '../http/errors.ts';
import { element, optional, readXml, writeXml } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';
import { groups, integerOf, plainText, remembering } from './reading.ts';
import { documentResponse } from './response.ts';

const ROOT = 'CORSConfiguration';
const RULES_MAX = 100;
const DOCUMENT_BYTES_MAX = 64 * 1024;
const ID_LENGTH_MAX = 255;
const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'] as const;

export interface CorsRule {
  readonly id: string | undefined;
  readonly methods: readonly string[];
  /** Each with at most one `*`, which stands for any text. */
  readonly origins: readonly string[];
  readonly headers: readonly string[];
  readonly exposed: readonly string[];
  readonly maxAgeSeconds: number | undefined;
}

const invalid = (message: string): S3Error => new S3Error('InvalidRequest', message);

function oneWildcard(child: ReadElement): string {
  const text = plainText(child);
  if (text.split('*').length > 2) throw invalid(`${child.name} "${text}" can not have more than one wildcard.`);
  if (!/^[\x20-\x7e]+$/.test(text)) throw invalid(`${child.name} is not valid.`);
  return text;
}

function methodOf(child: ReadElement): string {
  const text = plainText(child);
  if (!METHODS.some((method) => method === text))
    throw invalid(`Found unsupported HTTP method in CORS config. Unsupported method is ${text.slice(0, 64)}`);
  return text;
}

function exposedOf(child: ReadElement): string {
  const text = plainText(child);
  if (text.includes('*'))
    throw invalid(`ExposeHeader "${text}" contains wildcard. We currently do not support wildcard for ExposeHeader.`);
  if (!/^[!#$%&'+.^_`|~0-9A-Za-z-]+$/.test(text)) throw invalid('ExposeHeader is not the name of a header.');
  return text;
}

function ruleOf(rule: ReadElement): CorsRule {
  const known = groups(rule, ['ID', 'AllowedHeader', 'AllowedMethod', 'AllowedOrigin', 'ExposeHeader', 'MaxAgeSeconds']);
  if (known.ID.length > 1 || known.MaxAgeSeconds.length > 1) throw new S3Error('MalformedXML');
  if (known.AllowedMethod.length === 0 || known.AllowedOrigin.length === 0)
    throw new S3Error('MalformedXML', 'A rule needs AllowedMethod and AllowedOrigin.');
  const [id] = known.ID.map(plainText);
  if (id !== undefined && id.length > ID_LENGTH_MAX) throw invalid('The ID of a rule is too long.');
  const [maxAgeSeconds] = known.MaxAgeSeconds.map((child) => integerOf(child, 0, 2 ** 31 - 1, invalid));
  return {
    id,
    methods: known.AllowedMethod.map(methodOf),
    origins: known.AllowedOrigin.map(oneWildcard),
    headers: known.AllowedHeader.map(oneWildcard),
    exposed: known.ExposeHeader.map(exposedOf),
    maxAgeSeconds,
  };
}

/** Throws S3Error. */
function rulesOf(root: ReadElement): readonly CorsRule[] {
  const { CORSRule } = groups(root, ['CORSRule']);
  if (CORSRule.length === 0 || CORSRule.length > RULES_MAX)
    throw new S3Error('MalformedXML', `1 to ${String(RULES_MAX)} rules are needed.`);
  return CORSRule.map(ruleOf);
}

/** The rules of a document that a client puts; throws S3Error. */
export function parseCors(document: Uint8Array): readonly CorsRule[] {
  return rulesOf(readXml(document, ROOT));
}

/** The rules of a document as kept; undefined when it cannot be read, which grants nothing. */
export const decodeCors: (text: string) => readonly CorsRule[] | undefined = remembering(ROOT, rulesOf);

export function encodeCors(rules: readonly CorsRule[]): string {
  const all = (name: string, texts: readonly string[]): Element[] => texts.map((text) => element(name, text));
  return writeXml(
    element(
      ROOT,
      rules.map((rule) =>
        element('CORSRule', [
          ...optional('ID', rule.id),
          ...all('AllowedHeader', rule.headers),
          ...all('AllowedMethod', rule.methods),
          ...all('AllowedOrigin', rule.origins),
          ...all('ExposeHeader', rule.exposed),
          ...optional('MaxAgeSeconds', rule.maxAgeSeconds),
        ]),
      ),
    ),
  );
}

export const putBucketCors: Feature = async (call) => {
  const rules = parseCors(await readAll(call.content(DOCUMENT_BYTES_MAX)));
  await configure(call, 'cors', encodeCors(rules));
  return emptyResponse(200);
};

export const getBucketCors: Feature = async (call) =>
  documentResponse((await stateOf(call)).documents.cors, 'NoSuchCORSConfiguration');

export const deleteBucketCors: Feature = async (call) => {
  await configure(call, 'cors', undefined);
  return emptyResponse(204);
};
