/**
 * The notification document of a bucket: which events go to which webhook. A bucket names a webhook and never
 * a URL: `arn:holdfast:sqs::<name>:webhook` in a QueueConfiguration, `arn:holdfast:sns::<name>:webhook` in a
 * TopicConfiguration, where the name is one of the operator's configuration. Who may write the document can
 * therefore make the gateway speak to nobody whom the operator has not chosen.
 */
import { S3Error } from '../http/errors.ts';
import { groups, plainText, remembering } from '../documents/reading.ts';
import { element, fields, readXml, requiredText, writeXml } from '../http/xml.ts';
import type { Element, ReadElement } from '../http/xml.ts';
import { EVENT_NAMES } from '../port/events.ts';
import type { EventName } from '../port/events.ts';

const ROOT = 'NotificationConfiguration';
const CONFIGURATIONS_MAX = 100;
const ID_LENGTH_MAX = 255;
const VALUE_LENGTH_MAX = 1024;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

export const KINDS = {
  QueueConfiguration: { service: 'sqs', destination: 'Queue' },
  TopicConfiguration: { service: 'sns', destination: 'Topic' },
} as const;
type Kind = keyof typeof KINDS;

export interface NotificationRule {
  readonly kind: Kind;
  readonly id: string;
  /** Name of a webhook of the operator's. */
  readonly webhook: string;
  /** As written: names of events, or a family such as `s3:ObjectCreated:*`. */
  readonly events: readonly string[];
  readonly prefix: string | undefined;
  readonly suffix: string | undefined;
}

const invalid = (message: string): S3Error => new S3Error('InvalidArgument', message);

function webhookOf(arn: string, kind: Kind): string {
  const [scheme, partition, service, region, name = '', resource, ...rest] = arn.split(':');
  const isOurs = scheme === 'arn' && partition === 'holdfast' && region === '' && resource === 'webhook' && rest.length === 0;
  if (!isOurs || service !== KINDS[kind].service || !NAME.test(name))
    throw invalid(`A destination is arn:holdfast:${KINDS[kind].service}::<name>:webhook.`);
  return name;
}

function eventOf(child: ReadElement): string {
  const text = plainText(child).trim();
  if (!EVENT_NAMES.some((name) => isMeantBy(text, name)))
    throw invalid('The event is not supported for notifications.');
  return text;
}

/** Does `written`, a name or a family, mean this event? */
export function isMeantBy(written: string, name: EventName): boolean {
  return written.endsWith(':*') ? name.startsWith(written.slice(0, -1)) : name === written;
}

function filterOf(filter: ReadElement | undefined): Pick<NotificationRule, 'prefix' | 'suffix'> {
  const S3Key = filter === undefined ? undefined : fields(filter, ['S3Key']).S3Key;
  const rules = S3Key === undefined ? [] : groups(S3Key, ['FilterRule']).FilterRule;
  const found: { prefix: string | undefined; suffix: string | undefined } = { prefix: undefined, suffix: undefined };
  for (const rule of rules) {
    const { Name, Value } = fields(rule, ['Name', 'Value']);
    const name = requiredText('Name', Name).trim().toLowerCase();
    if (name !== 'prefix' && name !== 'suffix') throw invalid('filter rule name must be either prefix or suffix');
    if (found[name] !== undefined) throw invalid(`Cannot specify more than one ${name} rule in a filter.`);
    const value = requiredText('Value', Value);
    if (value.length > VALUE_LENGTH_MAX) throw invalid('The value of a filter rule is too long.');
    found[name] = value;
  }
  return found;
}

function ruleOf(kind: Kind, configuration: ReadElement, index: number): NotificationRule {
  const { destination } = KINDS[kind];
  const known = groups(configuration, ['Id', 'Event', 'Filter', destination]);
  const [id, ...moreIds] = known.Id.map(plainText);
  const [arn, ...moreArns] = known[destination].map(plainText);
  if (arn === undefined || moreArns.length > 0 || moreIds.length > 0 || known.Filter.length > 1)
    throw new S3Error('MalformedXML', `A ${kind} has one ${destination}.`);
  if (known.Event.length === 0) throw new S3Error('MalformedXML', 'At least one event is needed.');
  if (id !== undefined && id.length > ID_LENGTH_MAX) throw invalid('The Id is too long.');
  return {
    kind,
    id: id === undefined || id === '' ? `notification-${String(index + 1)}` : id,
    webhook: webhookOf(arn.trim(), kind),
    events: [...new Set(known.Event.map(eventOf))],
    ...filterOf(known.Filter[0]),
  };
}

/** Could one key and event match both? S3 refuses what would be told twice. */
function overlap(a: NotificationRule, b: NotificationRule): boolean {
  const events = EVENT_NAMES.some((name) => [a, b].every(({ events }) => events.some((written) => isMeantBy(written, name))));
  const prefixes = [a.prefix ?? '', b.prefix ?? ''] as const;
  const suffixes = [a.suffix ?? '', b.suffix ?? ''] as const;
  return (
    events &&
    (prefixes[0].startsWith(prefixes[1]) || prefixes[1].startsWith(prefixes[0])) &&
    (suffixes[0].endsWith(suffixes[1]) || suffixes[1].endsWith(suffixes[0]))
  );
}

function rulesOf(root: ReadElement): readonly NotificationRule[] {
  groups(root, Object.keys(KINDS) as Kind[]);
  if (root.children.length > CONFIGURATIONS_MAX) throw invalid('There are too many configurations.');
  const rules = root.children.map((child, i) => ruleOf(child.name as Kind, child, i));
  if (new Set(rules.map(({ id }) => id)).size < rules.length) throw invalid('Same ID used for multiple configurations.');
  if (rules.some((a, i) => rules.slice(i + 1).some((b) => overlap(a, b))))
    throw invalid('Configuration is ambiguously defined. Cannot have overlapping suffixes or prefixes for one event type.');
  return rules;
}

/** The rules of a document that a client puts; throws S3Error. */
export function parseNotification(document: Uint8Array): readonly NotificationRule[] {
  return rulesOf(readXml(document, ROOT));
}

/** The rules of a document as kept; undefined when it cannot be read, which tells nobody. */
export const decodeNotification: (text: string) => readonly NotificationRule[] | undefined = remembering(ROOT, rulesOf);

export function encodeNotification(rules: readonly NotificationRule[]): string {
  const filterRule = (name: string, value: string | undefined): Element[] =>
    value === undefined ? [] : [element('FilterRule', [element('Name', name), element('Value', value)])];
  const ruleElement = ({ kind, id, webhook, events, prefix, suffix }: NotificationRule): Element => {
    const { service, destination } = KINDS[kind];
    const filters = [...filterRule('prefix', prefix), ...filterRule('suffix', suffix)];
    return element(kind, [
      element('Id', id),
      element(destination, `arn:holdfast:${service}::${webhook}:webhook`),
      ...events.map((event) => element('Event', event)),
      ...(filters.length === 0 ? [] : [element('Filter', [element('S3Key', filters)])]),
    ]);
  };
  return writeXml(element(ROOT, rules.map(ruleElement)));
}

export function rulesFor(rules: readonly NotificationRule[], name: EventName, key: string): readonly NotificationRule[] {
  return rules.filter(
    ({ events, prefix, suffix }) =>
      key.startsWith(prefix ?? '') && key.endsWith(suffix ?? '') && events.some((written) => isMeantBy(written, name)),
  );
}
