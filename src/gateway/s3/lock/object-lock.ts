/**
 * Object lock of a bucket: whether there is one, and the retention that new versions get when their request
 * names none. Once there, it never goes away.
 */
import { bucketOf, emptyResponse, operationOf, refusal } from '../call.ts';
import type { Feature } from '../call.ts';
import { stateOf } from '../documents/state.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import type { DefaultRetention } from '../port/buckets.ts';
import { element, fields, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';
import { isLockMode } from './lock-headers.ts';

const DAYS_MAX = 36_500;
const YEARS_MAX = 100;

function periodCount(name: string, text: string, max: number): number {
  if (!/^[+-]?\d{1,10}$/.test(text)) throw new S3Error('MalformedXML', `${name} must be a number.`);
  const count = Number(text);
  if (count < 1 || count > max)
    throw new S3Error('InvalidRetentionPeriod', `${name} must be between 1 and ${String(max)}.`);
  return count;
}

function parseRule(rule: ReadElement): DefaultRetention {
  const { DefaultRetention: given } = fields(rule, ['DefaultRetention']);
  if (given === undefined) throw new S3Error('MalformedXML', 'DefaultRetention is missing.');
  const { Mode, Days, Years } = fields(given, ['Mode', 'Days', 'Years']);
  const mode = requiredText('Mode', Mode);
  if (!isLockMode(mode)) throw new S3Error('MalformedXML', 'Mode must be GOVERNANCE or COMPLIANCE.');
  if ((Days === undefined) === (Years === undefined))
    throw new S3Error('MalformedXML', 'Name either Days or Years.');
  if (Days !== undefined)
    return { mode, period: { unit: 'days', count: periodCount('Days', requiredText('Days', Days), DAYS_MAX) } };
  return { mode, period: { unit: 'years', count: periodCount('Years', requiredText('Years', Years), YEARS_MAX) } };
}

/** Undefined: no default. Throws S3Error MalformedXML or InvalidRetentionPeriod. */
export function parseObjectLock(document: Uint8Array): DefaultRetention | undefined {
  const root = readXml(document, 'ObjectLockConfiguration');
  const { ObjectLockEnabled, Rule } = fields(root, ['ObjectLockEnabled', 'Rule']);
  if (requiredText('ObjectLockEnabled', ObjectLockEnabled) !== 'Enabled')
    throw new S3Error('MalformedXML', 'ObjectLockEnabled must be Enabled.');
  return Rule === undefined ? undefined : parseRule(Rule);
}

function ruleElements(rule: DefaultRetention | undefined): Element[] {
  if (rule === undefined) return [];
  const { unit, count } = rule.period;
  const period = element(unit === 'days' ? 'Days' : 'Years', count);
  return [element('Rule', [element('DefaultRetention', [element('Mode', rule.mode), period])])];
}

export const getObjectLockConfiguration: Feature = async (call) => {
  const { lockEnabled, defaultRetention } = await stateOf(call);
  if (!lockEnabled) throw new S3Error('ObjectLockConfigurationNotFoundError');
  return xmlResponse(
    200,
    element('ObjectLockConfiguration', [
      element('ObjectLockEnabled', 'Enabled'),
      ...ruleElements(defaultRetention),
    ]),
  );
};

export const putObjectLockConfiguration: Feature = async (call) => {
  const defaultRetention = parseObjectLock(await readAll(call.content(XML_BYTES_MAX)));
  const result = await call.store.changeBucket({
    bucket: bucketOf(call),
    change: { kind: 'lock', defaultRetention },
    operation: operationOf(call),
  });
  if (result.outcome === 'changed') return emptyResponse(200);
  if (result.outcome === 'not-allowed') {
    throw new S3Error(
      'InvalidBucketState',
      "Versioning must be 'Enabled' on the bucket to apply an Object Lock configuration.",
    );
  }
  throw refusal(result.outcome);
};
