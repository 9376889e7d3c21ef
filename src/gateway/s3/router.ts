/**
 * From a request to the one operation it asks for. Refuses with 501 every operation not built, and for those
 * that are, every query parameter and every header that changes a meaning and that the table (operations.ts)
 * does not name: a condition, a lock or a copy that we silently dropped would be a lie to the client.
 */
import { assert } from '../../base/assert.ts';
import { S3Error } from './http/errors.ts';
import type { Headers } from './http/headers.ts';
import {
  BODY_HEADERS,
  MEANINGFUL_HEADERS,
  OPERATIONS,
  UNIVERSAL_HEADERS,
  UNIVERSAL_QUERY,
} from './operations.ts';
import type { BuiltOperation, Level, OperationRow } from './operations.ts';
import type { Query } from './http/uri.ts';

interface Term {
  readonly name: string;
  readonly values: readonly string[] | undefined;
}

function parseTerm(term: string): Term {
  const equals = term.indexOf('=');
  if (equals < 0) return { name: term, values: undefined };
  return { name: term.slice(0, equals), values: term.slice(equals + 1).split('|') };
}

/** A table row made ready: its terms taken apart once. */
interface Route {
  readonly row: OperationRow;
  readonly when: readonly Term[];
  readonly query: readonly Term[];
  readonly headers: readonly Term[];
}

const ROUTES: readonly Route[] = OPERATIONS.map((row) => ({
  row,
  when: row.when.map(parseTerm),
  query: [...row.when, ...row.query, ...UNIVERSAL_QUERY].map(parseTerm),
  headers: [...UNIVERSAL_HEADERS, ...(row.body ? BODY_HEADERS : []), ...row.headers].map(parseTerm),
}));

const HEADER_TERM = 'header:';

function matches(term: Term, query: Query, headers: Headers): boolean {
  if (term.name.startsWith(HEADER_TERM)) return headers.has(term.name.slice(HEADER_TERM.length));
  const value = query.get(term.name);
  return value !== undefined && (term.values === undefined || term.values.includes(value));
}

function select(method: string, level: Level, query: Query, headers: Headers): Route | undefined {
  let best: Route | undefined;
  for (const route of ROUTES) {
    if (route.row.method !== method || route.row.level !== level) continue;
    if (!route.when.every((term) => matches(term, query, headers))) continue;
    if (best === undefined || route.when.length > best.when.length) best = route;
  }
  return best;
}

function permits(terms: readonly Term[], name: string, value: string): 'yes' | 'no' | 'other-value' {
  for (const term of terms) {
    const fits = term.name.endsWith('*') ? name.startsWith(term.name.slice(0, -1)) : name === term.name;
    if (fits) return term.values === undefined || term.values.includes(value) ? 'yes' : 'other-value';
  }
  return 'no';
}

function isMeaningful(header: string): boolean {
  return (
    header.startsWith('x-amz-') || header.startsWith('x-holdfast-') || MEANINGFUL_HEADERS.includes(header)
  );
}

export interface Routed {
  readonly operation: BuiltOperation;
  readonly row: OperationRow;
  /**
   * Throws S3Error NotImplemented for a parameter or header that the operation does not understand. Called
   * after the request was found to be allowed: who may not do it at all is told that, and no more.
   */
  readonly requireUnderstood: () => void;
}

/** Throws S3Error NotImplemented, or MethodNotAllowed when no operation of S3 looks like this. */
export function route(method: string, level: Level, query: Query, headers: Headers): Routed {
  const chosen = select(method, level, query, headers);
  if (chosen === undefined) throw new S3Error('MethodNotAllowed');
  const { row } = chosen;
  if (!row.built) throw new S3Error('NotImplemented', `${row.name} is not built in this version.`);
  assert(isBuilt(row.name), 'a row marked as built has a handler');
  return { operation: row.name, row, requireUnderstood: () => requireUnderstood(chosen, query, headers) };
}

function requireUnderstood(chosen: Route, query: Query, headers: Headers): void {
  const { row } = chosen;
  for (const name of query.names()) {
    const verdict = permits(chosen.query, name, query.get(name) ?? '');
    if (verdict === 'no')
      throw new S3Error(
        'NotImplemented',
        `The query parameter ${printable(name)} of ${row.name} is not built.`,
      );
    if (verdict === 'other-value') throw new S3Error('NotImplemented', `This value of ${name} is not built.`);
  }
  for (const name of headers.names()) {
    if (!isMeaningful(name)) continue;
    const verdict = permits(chosen.headers, name, headers.get(name) ?? '');
    if (verdict === 'no')
      throw new S3Error('NotImplemented', `The header ${name} of ${row.name} is not built.`);
    if (verdict === 'other-value') throw new S3Error('NotImplemented', `This value of ${name} is not built.`);
  }
}

const BUILT_NAMES: ReadonlySet<string> = new Set(
  OPERATIONS.filter((row) => row.built).map((row) => row.name),
);

function isBuilt(name: string): name is BuiltOperation {
  return BUILT_NAMES.has(name);
}

/** A name for a message: what XML cannot carry or what is long stays out. */
function printable(name: string): string {
  return name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}
