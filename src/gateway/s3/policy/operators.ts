/**
 * The operators of conditions: how one value of a policy is compared with one of a request. A value of the
 * policy that an operator cannot read is refused when the policy is stored; a value of a request that it
 * cannot read matches nothing.
 */
import { parseCidr, parseIp, isWithin } from './ip.ts';

export type Operator = PatternOperator | ValueOperator;

interface AnyOperator {
  /** True: holds when no value of the policy matches. */
  readonly isNegative: boolean;
  /** Can it read this value of a policy? */
  readonly accepts: (wanted: string) => boolean;
}

/** The value of a policy is a pattern, in which variables may stand. */
interface PatternOperator extends AnyOperator {
  readonly form: 'pattern';
}

interface ValueOperator extends AnyOperator {
  /** `text`: variables may stand in the value of a policy. */
  readonly form?: 'text';
  readonly matches: (wanted: string, given: string) => boolean;
}

const pattern = (isNegative: boolean): Operator => ({ isNegative, form: 'pattern', accepts: () => true });
const text = (matches: ValueOperator['matches'], isNegative: boolean): Operator => ({ isNegative, form: 'text', accepts: () => true, matches });

const equal: ValueOperator['matches'] = (wanted, given) => wanted === given;
const equalFolded: ValueOperator['matches'] = (wanted, given) => wanted.toLowerCase() === given.toLowerCase();

function numberOf(value: string): number | undefined {
  return /^[+-]?\d{1,15}(\.\d{1,15})?$/.test(value) ? Number(value) : undefined;
}

/** ISO 8601 in UTC, or seconds since the epoch. */
function timeOf(value: string): number | undefined {
  if (/^\d{1,12}$/.test(value)) return Number(value) * 1000;
  const isDate = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(value);
  const ms = isDate ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

type Order = (given: number, wanted: number) => boolean;

function ordered(read: (value: string) => number | undefined, order: Order, isNegative = false): Operator {
  return {
    isNegative,
    accepts: (wanted) => read(wanted) !== undefined,
    matches: (wanted, given) => {
      const right = read(wanted);
      const left = read(given);
      return left !== undefined && right !== undefined && order(left, right);
    },
  };
}

const ORDERS: readonly (readonly [string, Order, boolean])[] = [
  ['Equals', (given, wanted) => given === wanted, false],
  ['NotEquals', (given, wanted) => given === wanted, true],
  ['LessThan', (given, wanted) => given < wanted, false],
  ['LessThanEquals', (given, wanted) => given <= wanted, false],
  ['GreaterThan', (given, wanted) => given > wanted, false],
  ['GreaterThanEquals', (given, wanted) => given >= wanted, false],
];

const ip = (isNegative: boolean): Operator => ({
  isNegative,
  accepts: (wanted) => parseCidr(wanted) !== undefined,
  matches: (wanted, given) => {
    const range = parseCidr(wanted);
    const address = parseIp(given);
    return range !== undefined && address !== undefined && isWithin(address, range);
  },
});

const isBool = (value: string): boolean => /^(true|false)$/i.test(value);

/** All operators but Null, which asks about the key itself. */
const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ['StringEquals', text(equal, false)],
  ['StringNotEquals', text(equal, true)],
  ['StringEqualsIgnoreCase', text(equalFolded, false)],
  ['StringNotEqualsIgnoreCase', text(equalFolded, true)],
  ['StringLike', pattern(false)],
  ['StringNotLike', pattern(true)],
  ['ArnEquals', pattern(false)],
  ['ArnLike', pattern(false)],
  ['ArnNotEquals', pattern(true)],
  ['ArnNotLike', pattern(true)],
  ['Bool', { isNegative: false, accepts: isBool, matches: equalFolded }],
  ['IpAddress', ip(false)],
  ['NotIpAddress', ip(true)],
  ...ORDERS.map(([name, order, isNegative]) => [`Numeric${name}`, ordered(numberOf, order, isNegative)] as const),
  ...ORDERS.map(([name, order, isNegative]) => [`Date${name}`, ordered(timeOf, order, isNegative)] as const),
]);

export function operatorNamed(name: string): Operator | undefined {
  return OPERATORS.get(name);
}

export function acceptsNull(wanted: string): boolean {
  return isBool(wanted);
}
