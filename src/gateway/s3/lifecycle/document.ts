/**
 * The lifecycle document: read strictly, checked as S3 checks it, written back in the shape it was put in.
 * Transitions to other storage classes are refused: there is one.
 */
import { S3Error } from '../http/errors.ts';
import type { Tags } from '../port/objects.ts';
import { integerOf, groups, plainText, remembering } from '../documents/reading.ts';
import { tagElement, tagOf } from '../documents/tagging.ts';
import { element, fields, optional, readXml, writeXml } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';
import type { Expiration, FilterForm, LifecycleFilter, LifecycleRule, NoncurrentExpiration } from './rules.ts';

const ROOT = 'LifecycleConfiguration';
const RULES_MAX = 1000;
const ID_LENGTH_MAX = 255;
const PREFIX_LENGTH_MAX = 1024;
const DAYS_MAX = 2 ** 31 - 1;
const NEWER_KEPT_MAX = 100;
const SIZE_MAX = 2 ** 50;
const FILTER_TAGS_MAX = 50;
const DAY_MS = 24 * 3600 * 1000;

const invalid = (message: string): S3Error => new S3Error('InvalidArgument', message);
const unfit = (message: string): S3Error => new S3Error('InvalidRequest', message);
const malformed = (message: string): S3Error => new S3Error('MalformedXML', message);

const NO_FILTER: LifecycleFilter = {
  form: 'none',
  prefix: undefined,
  tags: [],
  sizeGreaterThan: undefined,
  sizeLessThan: undefined,
};

function prefixOf(child: ReadElement): string {
  const text = plainText(child);
  if (text.length > PREFIX_LENGTH_MAX) throw invalid('The maximum size of a prefix is 1024.');
  return text;
}

/** Two prefixes hold together only where one begins with the other. */
function longerPrefix(prefixes: readonly string[]): string | undefined {
  const [longest] = [...prefixes].sort((a, b) => b.length - a.length);
  if (longest !== undefined && !prefixes.every((prefix) => longest.startsWith(prefix)))
    throw malformed('The prefixes of a filter exclude each other.');
  return longest;
}

const CONDITIONS = ['Prefix', 'Tag', 'ObjectSizeGreaterThan', 'ObjectSizeLessThan'] as const;

/**
 * What stands beside each other must all hold, with `And` around it or not. S3 wants the `And`; others, whose
 * clients leave it out, agree on this meaning, which deletes least.
 */
function filterOf(filter: ReadElement): LifecycleFilter {
  const known = groups(filter, [...CONDITIONS, 'And']);
  if (known.And.length > 1) throw malformed('And is given twice.');
  const inner = known.And[0] === undefined ? undefined : groups(known.And[0], CONDITIONS);
  if (known.Tag.length > 1) throw malformed('Tag is given twice.');
  const all = (name: (typeof CONDITIONS)[number]): ReadElement[] => [...known[name], ...(inner?.[name] ?? [])];
  const once = (name: (typeof CONDITIONS)[number]): ReadElement | undefined => {
    const [first, second] = all(name);
    if (second !== undefined) throw malformed(`${name} is given twice.`);
    return first;
  };
  const size = (name: 'ObjectSizeGreaterThan' | 'ObjectSizeLessThan', min: number): number | undefined => {
    const child = once(name);
    return child === undefined ? undefined : integerOf(child, min, SIZE_MAX, invalid);
  };
  const sizeGreaterThan = size('ObjectSizeGreaterThan', 0);
  const sizeLessThan = size('ObjectSizeLessThan', 1);
  if (sizeGreaterThan !== undefined && sizeLessThan !== undefined && sizeLessThan <= sizeGreaterThan + 1)
    throw unfit("'ObjectSizeLessThan' must be greater than 'ObjectSizeGreaterThan'.");
  const tags: Tags = all('Tag').map(tagOf);
  if (tags.length > FILTER_TAGS_MAX) throw invalid('A filter has too many tags.');
  if (new Set(tags.map(([key]) => key)).size < tags.length) throw unfit('Duplicate Tag Keys are not allowed.');
  const prefix = longerPrefix(all('Prefix').map(prefixOf));
  const count = CONDITIONS.reduce((sum, name) => sum + all(name).length, 0);
  if (inner !== undefined && count === 0) throw malformed('And is empty.');
  const form: FilterForm = inner !== undefined || count > 1 ? 'and' : 'single';
  return { form, prefix, tags, sizeGreaterThan, sizeLessThan };
}

/** ISO 8601 with or without a time, which must be midnight UTC. */
function dateOf(child: ReadElement): number {
  const text = plainText(child).trim();
  const isShaped = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text);
  const isZoned = !text.includes('T') || /(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = isShaped ? Date.parse(isZoned ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(ms)) throw malformed('Date is not an ISO 8601 date.');
  if (ms % DAY_MS !== 0) throw invalid("'Date' must be at midnight GMT");
  return ms;
}

function expirationOf(child: ReadElement): Expiration {
  const { Days, Date: date, ExpiredObjectDeleteMarker: marker } = fields(child, [
    'Days',
    'Date',
    'ExpiredObjectDeleteMarker',
  ]);
  const isMarker = marker !== undefined && booleanOf(marker);
  const count = [Days, date, isMarker ? marker : undefined].filter((given) => given !== undefined).length;
  if (count !== 1) throw malformed('Expiration needs one of Days, Date and ExpiredObjectDeleteMarker.');
  if (Days !== undefined) return { kind: 'days', days: daysOf(Days) };
  return date === undefined ? { kind: 'lone-markers' } : { kind: 'date', atMs: dateOf(date) };
}

function booleanOf(child: ReadElement): boolean {
  const text = plainText(child).trim().toLowerCase();
  if (text !== 'true' && text !== 'false') throw malformed(`${child.name} must be true or false.`);
  return text === 'true';
}

const daysOf = (child: ReadElement): number => integerOf(child, 1, DAYS_MAX, invalid);

function noncurrentOf(child: ReadElement): NoncurrentExpiration {
  const { NoncurrentDays, NewerNoncurrentVersions } = fields(child, ['NoncurrentDays', 'NewerNoncurrentVersions']);
  if (NoncurrentDays === undefined) throw malformed('NoncurrentDays is missing.');
  const newerKept =
    NewerNoncurrentVersions === undefined
      ? undefined
      : integerOf(NewerNoncurrentVersions, 1, NEWER_KEPT_MAX, invalid);
  return { days: daysOf(NoncurrentDays), newerKept };
}

function refuseTransitions(rule: ReadElement): void {
  const transition = rule.children.find(({ name }) => name === 'Transition' || name === 'NoncurrentVersionTransition');
  if (transition === undefined) return;
  for (const child of transition.children) if (child.name === 'Date') dateOf(child);
  throw new S3Error('NotImplemented', 'There is one storage class: transitions are not built.');
}

/** The id is empty when the client gave none. */
function ruleOf(rule: ReadElement): LifecycleRule {
  refuseTransitions(rule);
  const known = fields(rule, [
    'ID',
    'Status',
    'Prefix',
    'Filter',
    'Expiration',
    'NoncurrentVersionExpiration',
    'AbortIncompleteMultipartUpload',
  ]);
  const id = known.ID === undefined ? '' : plainText(known.ID);
  if (id.length > ID_LENGTH_MAX) throw invalid('ID length should not exceed allowed limit of 255');
  const status = known.Status === undefined ? '' : plainText(known.Status);
  if (status !== 'Enabled' && status !== 'Disabled') throw malformed('Status must be Enabled or Disabled.');
  if (known.Prefix !== undefined && known.Filter !== undefined)
    throw malformed('A rule has a Prefix or a Filter, not both.');
  const filter =
    known.Filter !== undefined
      ? filterOf(known.Filter)
      : known.Prefix === undefined
        ? NO_FILTER
        : { ...NO_FILTER, form: 'legacy-prefix' as const, prefix: prefixOf(known.Prefix) };
  const abort = known.AbortIncompleteMultipartUpload;
  const made: LifecycleRule = {
    id,
    isEnabled: status === 'Enabled',
    filter,
    expiration: known.Expiration === undefined ? undefined : expirationOf(known.Expiration),
    noncurrent:
      known.NoncurrentVersionExpiration === undefined ? undefined : noncurrentOf(known.NoncurrentVersionExpiration),
    abortUploadsAfterDays: abort === undefined ? undefined : abortDaysOf(abort),
  };
  checkTogether(made);
  return made;
}

function abortDaysOf(abort: ReadElement): number {
  const { DaysAfterInitiation } = fields(abort, ['DaysAfterInitiation']);
  if (DaysAfterInitiation === undefined) throw malformed('DaysAfterInitiation is missing.');
  return daysOf(DaysAfterInitiation);
}

/** What markers and uploads do not have, a rule about them cannot ask for. */
function checkTogether({ filter, expiration, noncurrent, abortUploadsAfterDays }: LifecycleRule): void {
  if (expiration === undefined && noncurrent === undefined && abortUploadsAfterDays === undefined)
    throw unfit('At least one action needs to be specified in a rule.');
  const asksSize = filter.sizeGreaterThan !== undefined || filter.sizeLessThan !== undefined;
  if (abortUploadsAfterDays !== undefined && (filter.tags.length > 0 || asksSize))
    throw unfit('AbortIncompleteMultipartUpload cannot be specified with Tags or ObjectSize.');
  if (expiration?.kind === 'lone-markers' && (filter.tags.length > 0 || asksSize))
    throw unfit('ExpiredObjectDeleteMarker cannot be specified with Tags or ObjectSize.');
}

function rulesOf(root: ReadElement): readonly LifecycleRule[] {
  const { Rule } = groups(root, ['Rule']);
  if (Rule.length === 0 || Rule.length > RULES_MAX) throw malformed(`1 to ${String(RULES_MAX)} rules are needed.`);
  return named(Rule.map(ruleOf));
}

/** Ids are unique, and who gave none gets one that no other rule has. */
function named(rules: readonly LifecycleRule[]): readonly LifecycleRule[] {
  const given = rules.map(({ id }) => id).filter((id) => id !== '');
  const taken = new Set(given);
  if (taken.size < given.length) throw invalid('Rule ID must be unique. Found same ID for more than one rule');
  let next = 1;
  return rules.map((rule) => {
    if (rule.id !== '') return rule;
    while (taken.has(`rule-${String(next)}`)) next += 1;
    const id = `rule-${String(next)}`;
    taken.add(id);
    return { ...rule, id };
  });
}

/** The rules of a document that a client puts; throws S3Error. */
export function parseLifecycle(document: Uint8Array): readonly LifecycleRule[] {
  return rulesOf(readXml(document, ROOT));
}

/** The rules of a document as kept; undefined when it cannot be read, which deletes nothing. */
export const decodeLifecycle: (text: string) => readonly LifecycleRule[] | undefined = remembering(ROOT, rulesOf);

function filterElements(filter: LifecycleFilter): readonly Element[] {
  const conditions = [
    ...optional('Prefix', filter.prefix),
    ...filter.tags.map((tag) => tagElement(tag)),
    ...optional('ObjectSizeGreaterThan', filter.sizeGreaterThan),
    ...optional('ObjectSizeLessThan', filter.sizeLessThan),
  ];
  switch (filter.form) {
    case 'none':
      return [];
    case 'legacy-prefix':
      return conditions;
    case 'single':
      return [element('Filter', conditions)];
    case 'and':
      return [element('Filter', [element('And', conditions)])];
  }
}

function expirationElement(expiration: Expiration): Element {
  switch (expiration.kind) {
    case 'days':
      return element('Expiration', [element('Days', expiration.days)]);
    case 'date':
      return element('Expiration', [element('Date', new Date(expiration.atMs).toISOString())]);
    case 'lone-markers':
      return element('Expiration', [element('ExpiredObjectDeleteMarker', true)]);
  }
}

export function encodeLifecycle(rules: readonly LifecycleRule[]): string {
  const ruleElement = ({ id, isEnabled, filter, expiration, noncurrent, abortUploadsAfterDays }: LifecycleRule): Element =>
    element('Rule', [
      element('ID', id),
      ...filterElements(filter),
      element('Status', isEnabled ? 'Enabled' : 'Disabled'),
      ...(expiration === undefined ? [] : [expirationElement(expiration)]),
      ...(noncurrent === undefined
        ? []
        : [
            element('NoncurrentVersionExpiration', [
              element('NoncurrentDays', noncurrent.days),
              ...optional('NewerNoncurrentVersions', noncurrent.newerKept),
            ]),
          ]),
      ...(abortUploadsAfterDays === undefined
        ? []
        : [
            element('AbortIncompleteMultipartUpload', [element('DaysAfterInitiation', abortUploadsAfterDays)]),
          ]),
    ]);
  return writeXml(element(ROOT, rules.map(ruleElement)));
}
