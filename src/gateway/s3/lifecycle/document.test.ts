import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { decodeLifecycle, encodeLifecycle, parseLifecycle } from './document.ts';
import { covers } from './rules.ts';

const configuration = (...rules: string[]): Uint8Array => utf8(`<LifecycleConfiguration>${rules.join('')}</LifecycleConfiguration>`);
const rule = (content: string, status = 'Enabled'): string => `<Rule>${content}<Status>${status}</Status></Rule>`;
const DAYS = '<Expiration><Days>1</Days></Expiration>';

function codeOf(...rules: string[]): string {
  try {
    parseLifecycle(configuration(...rules));
    return 'accepted';
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

describe('a lifecycle document', () => {
  test.each<[string, string]>([
    ['the legacy prefix', '<ID>a</ID><Prefix>test1/</Prefix><Status>Enabled</Status><Expiration><Days>31</Days></Expiration>'],
    ['an empty filter', '<ID>a</ID><Filter></Filter><Status>Disabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>'],
    ['a prefix in a filter', '<ID>a</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration>'],
    ['one tag in an And', '<ID>a</ID><Filter><And><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>'],
    [
      'all of it',
      '<ID>a</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value></Value></Tag><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays><NewerNoncurrentVersions>5</NewerNoncurrentVersions></NoncurrentVersionExpiration>',
    ],
    ['uploads', '<ID>a</ID><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>'],
  ])('with %s is given back as it was put', (_, content) => {
    const rules = parseLifecycle(configuration(`<Rule>${content}</Rule>`));
    const text = encodeLifecycle(rules);
    expect(text).toContain(`<Rule>${content}</Rule>`);
    expect(decodeLifecycle(text)).toEqual(rules);
  });

  test('gives a rule without an id one of its own', () => {
    const rules = parseLifecycle(configuration(rule(DAYS), rule(`<ID>rule-1</ID>${DAYS}`), rule(`<ID></ID>${DAYS}`)));
    expect(rules.map(({ id }) => id)).toEqual(['rule-2', 'rule-1', 'rule-3']);
  });

  test.each<[string, string[], string]>([
    ['an id of 256', [rule(`<ID>${'a'.repeat(256)}</ID>${DAYS}`)], 'InvalidArgument'],
    ['one id twice', [rule(`<ID>a</ID>${DAYS}`), rule(`<ID>a</ID>${DAYS}`)], 'InvalidArgument'],
    ['a status in small letters', [rule(DAYS, 'enabled')], 'MalformedXML'],
    ['no status', [`<Rule>${DAYS}</Rule>`], 'MalformedXML'],
    ['a date that is none', [rule('<Expiration><Date>20200101</Date></Expiration>')], 'MalformedXML'],
    ['a date at noon', [rule('<Expiration><Date>2020-01-01T12:00:00Z</Date></Expiration>')], 'InvalidArgument'],
    ['the thirtieth of February', [rule('<Expiration><Date>2020-13-30</Date></Expiration>')], 'MalformedXML'],
    ['a plain date', [rule('<Expiration><Date>2017-09-27</Date></Expiration>')], 'accepted'],
    ['no days', [rule('<Expiration><Days>0</Days></Expiration>')], 'InvalidArgument'],
    ['days less than none', [rule('<Expiration><Days>-1</Days></Expiration>')], 'InvalidArgument'],
    ['days in words', [rule('<Expiration><Days>one</Days></Expiration>')], 'MalformedXML'],
    ['days and a date', [rule('<Expiration><Days>1</Days><Date>2017-09-27</Date></Expiration>')], 'MalformedXML'],
    ['an empty expiration', [rule('<Expiration></Expiration>')], 'MalformedXML'],
    ['no action', [rule('')], 'InvalidRequest'],
    ['no rules', [], 'MalformedXML'],
    ['a thousand rules', Array.from({ length: 1000 }, () => rule(DAYS)), 'accepted'],
    ['a thousand and one', Array.from({ length: 1001 }, () => rule(DAYS)), 'MalformedXML'],
    ['a prefix and a filter', [rule(`<Prefix/><Filter/>${DAYS}`)], 'MalformedXML'],
    ['a transition', [rule(`<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>${DAYS}`)], 'NotImplemented'],
    ['a transition at no date', [rule(`<Transition><Date>20220927</Date><StorageClass>GLACIER</StorageClass></Transition>${DAYS}`)], 'MalformedXML'],
    ['a noncurrent transition', [rule(`<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionTransition>${DAYS}`)], 'NotImplemented'],
    ['101 newer versions', [rule('<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>')], 'InvalidArgument'],
    ['uploads by tag', [rule('<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>')], 'InvalidRequest'],
    ['markers by size', [rule('<Filter><ObjectSizeLessThan>5</ObjectSizeLessThan></Filter><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>')], 'InvalidRequest'],
    ['sizes that exclude each other', [rule(`<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>6</ObjectSizeLessThan></And></Filter>${DAYS}`)], 'InvalidRequest'],
    ['prefixes that exclude each other', [rule(`<Filter><Prefix>a</Prefix><And><Prefix>b</Prefix></And></Filter>${DAYS}`)], 'MalformedXML'],
    ['an unknown condition', [rule(`<Filter><Owner>me</Owner></Filter>${DAYS}`)], 'NotImplemented'],
  ])('with %s', (_, rules, code) => {
    expect(codeOf(...rules)).toBe(code);
  });

  test('whose filter lacks the And means all of it', () => {
    const filter = '<Filter><Prefix>days1/</Prefix><Tag><Key>tom</Key><Value>sawyer</Value></Tag><And><Prefix>days1</Prefix><Tag><Key>huck</Key><Value>finn</Value></Tag></And></Filter>';
    const [parsed] = parseLifecycle(configuration(rule(filter + DAYS)));
    if (parsed === undefined) throw new Error('no rule');
    const tom = ['tom', 'sawyer'] as const;
    expect(covers(parsed.filter, { key: 'days1/tom', size: 1, tags: [tom] })).toBe(false);
    expect(covers(parsed.filter, { key: 'days1/huck', size: 1, tags: [tom, ['huck', 'finn']] })).toBe(true);
    expect(covers(parsed.filter, { key: 'days2/huck', size: 1, tags: [tom, ['huck', 'finn']] })).toBe(false);
  });
});
