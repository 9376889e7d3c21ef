/**
 * Reads a policy document strictly: bounded size and depth, every field, operator, condition key and action
 * known, values fit their operator. What we would not enforce as written is refused when it is stored, with
 * MalformedPolicy, so that no statement sits in a policy without effect.
 */
import { fromUtf8 } from '../../../base/bytes.ts';
import { S3Error } from '../http/errors.ts';
import { isCanonicalId } from '../port/canonical-id.ts';
import { namesAnAction } from './actions.ts';
import { kindOfKey, normalKey } from './condition-keys.ts';
import { isJsonArray, isJsonObject, parseStrictJson } from './json.ts';
import type { Json, JsonObject } from './json.ts';
import { acceptsNull, operatorNamed } from './operators.ts';
import type { Condition, Policy, PrincipalPattern, Selection, Statement } from './policy.ts';
import { areVariablesKnown, hasVariable, templateOf } from './variables.ts';
import type { Template } from './variables.ts';
import { compilePattern, matchesPattern } from './wildcard.ts';
import type { Pattern } from './wildcard.ts';

export const POLICY_BYTES_MAX: number = 20 * 1024;
const DEPTH_MAX = 8;
const RESOURCE_PREFIX = 'arn:aws:s3:::';
const PRINCIPAL_CHARS_MAX = 2048;

/** Whose policy: of a bucket, whose resources it must speak of, or of an access key. */
export type PolicySubject = { readonly kind: 'bucket'; readonly bucket: string } | { readonly kind: 'key' };

const malformed = (message: string): S3Error => new S3Error('MalformedPolicy', message);

function fieldsOf(value: Json | undefined, what: string, known: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw malformed(`${what} must be an object.`);
  for (const name of value.fields.keys())
    if (!known.includes(name)) throw malformed(`${what} has a field that is not known.`);
  return value;
}

function stringOf(value: Json | undefined, what: string): string {
  if (typeof value !== 'string' || value === '') throw malformed(`${what} must be a string that is not empty.`);
  return value;
}

/** A string, or an array of at least one. */
function stringsOf(value: Json | undefined, what: string): readonly string[] {
  const items = isJsonArray(value) ? value : [value];
  if (items.length === 0) throw malformed(`${what} must not be empty.`);
  return items.map((item) => stringOf(item, what));
}

/** The one of `name` and `Not<name>` that is given. */
function selection<Pattern>(
  statement: JsonObject,
  name: string,
  read: (value: Json | undefined) => readonly Pattern[],
): Selection<Pattern> {
  const is = statement.fields.get(name);
  const not = statement.fields.get(`Not${name}`);
  if ((is === undefined) === (not === undefined)) throw malformed(`A statement needs one of ${name} and Not${name}.`);
  return { isNot: not !== undefined, patterns: read(is ?? not) };
}

/** What is read of one statement depends on whose policy it is in, and on the version of the language. */
interface Reading {
  readonly subject: PolicySubject;
  /** Since 2012-10-17; before, Amazon takes a variable for plain text, which nobody means who writes one. */
  readonly hasVariables: boolean;
}

function requireKnownVariables(value: string, { hasVariables }: Reading): string {
  if (hasVariable(value) && !hasVariables) throw malformed('Policy variables need Version 2012-10-17.');
  if (!areVariablesKnown(value)) throw malformed('Policy has a variable that is not known.');
  return value;
}

const ARN = /^arn:aws:(?:iam|sts)::([^:]*):(root|(?:user|role|assumed-role)\/(.+))$/;

/**
 * Accounts by canonical id, as `arn:aws:iam::ID:root`, or as `arn:aws:iam:::user/ID`. Another name in one of
 * these forms is somebody we do not know: it matches nobody.
 */
function principalOf(name: string): PrincipalPattern {
  if (name === '*') return { kind: 'anyone' };
  if (name.length > PRINCIPAL_CHARS_MAX || /[*?]/.test(name)) throw malformed('Invalid principal in policy.');
  if (isCanonicalId(name) || /^\d{12}$/.test(name)) return { kind: 'account', id: name };
  const match = ARN.exec(name);
  if (match === null) throw malformed('Invalid principal in policy.');
  const [, account = '', , user = ''] = match;
  return { kind: 'account', id: account === '' ? user : account };
}

function principalsOf(value: Json | undefined): readonly PrincipalPattern[] {
  if (value === '*') return [{ kind: 'anyone' }];
  const { fields } = fieldsOf(value, 'Principal', ['AWS', 'CanonicalUser', 'Service', 'Federated']);
  const out: PrincipalPattern[] = [];
  for (const [kind, names] of fields) {
    for (const name of stringsOf(names, 'Principal')) {
      if (kind === 'AWS') out.push(principalOf(name));
      else if (kind === 'CanonicalUser') {
        if (!isCanonicalId(name)) throw malformed('Invalid principal in policy.');
        out.push({ kind: 'account', id: name });
      }
      // Services and federated users do not call here, so that naming them grants and denies nothing.
    }
  }
  if (fields.size === 0) throw malformed('Principal must not be empty.');
  return out;
}

function actionsOf(value: Json | undefined): readonly Pattern[] {
  const actions = stringsOf(value, 'Action');
  for (const action of actions) if (!namesAnAction(action)) throw malformed('Policy has invalid action.');
  return actions.map((action) => compilePattern(action.toLowerCase()));
}

function resourcesOf(value: Json | undefined, reading: Reading): readonly Template[] {
  const resources = stringsOf(value, 'Resource');
  for (const resource of resources) {
    requireKnownVariables(resource, reading);
    if (resource === '*') continue;
    const name = resource.startsWith(RESOURCE_PREFIX) ? resource.slice(RESOURCE_PREFIX.length) : '';
    if (name === '') throw malformed('Policy has invalid resource.');
    const [bucket = ''] = name.split('/');
    const { subject } = reading;
    if (subject.kind === 'bucket' && (hasVariable(bucket) || !matchesPattern(compilePattern(bucket), subject.bucket)))
      throw malformed('Policy has invalid resource.');
  }
  return resources.map(templateOf);
}

function valuesOf(value: Json, reading: Reading): readonly string[] {
  const items = isJsonArray(value) ? value : [value];
  if (items.length === 0) throw malformed('A condition needs a value.');
  return items.map((item) => {
    if (typeof item === 'string') return requireKnownVariables(item, reading);
    if (typeof item === 'number' || typeof item === 'boolean') return String(item);
    throw malformed('The value of a condition must be a string, a number or a boolean.');
  });
}

/** `ForAnyValue:StringLikeIfExists` taken apart. */
function conditionOf(name: string, rawKey: string, value: Json, reading: Reading): Condition {
  const match = /^(?:(ForAnyValue|ForAllValues):)?([A-Za-z]+?)(IfExists)?$/.exec(name);
  const operator = match?.[2] ?? '';
  const ifExists = match?.[3] !== undefined;
  const isNull = operator === 'Null';
  const accepts = isNull ? acceptsNull : operatorNamed(operator)?.accepts;
  if (accepts === undefined || (isNull && ifExists)) throw malformed('Policy has an invalid condition operator.');
  const key = normalKey(rawKey);
  if (kindOfKey(key) === undefined) throw malformed('Policy has an invalid condition key.');
  const values = valuesOf(value, reading);
  if (!values.every(accepts)) throw malformed('A value of a condition does not fit its operator.');
  const quantifier = match?.[1] === 'ForAnyValue' ? 'any' : match?.[1] === 'ForAllValues' ? 'all' : undefined;
  const templates = isNull || operatorNamed(operator)?.form === undefined ? [] : values.map(templateOf);
  return { quantifier, operator, ifExists, key, values, templates };
}

function conditionsOf(value: Json | undefined, reading: Reading): readonly Condition[] {
  if (value === undefined) return [];
  if (!isJsonObject(value)) throw malformed('Condition must be an object.');
  const out: Condition[] = [];
  for (const [operator, keys] of value.fields) {
    if (!isJsonObject(keys)) throw malformed('A condition operator needs an object of keys.');
    for (const [key, values] of keys.fields) out.push(conditionOf(operator, key, values, reading));
  }
  return out;
}

/** A denial that no request here can come under is no protection, and whoever wrote it believes it is. */
function refuseVain(effect: Statement['effect'], { key, operator, quantifier, ifExists, values }: Condition): void {
  if (effect !== 'Deny' || kindOfKey(key) !== 'absent' || ifExists || quantifier === 'all') return;
  const wantsIt = operator === 'Null' ? values.every((value) => value.toLowerCase() === 'false') : quantifier === 'any' || operatorNamed(operator)?.isNegative !== true;
  if (wantsIt) throw malformed(`No request here has ${key}: the statement would never deny.`);
}

function statementOf(value: Json, reading: Reading): Statement {
  const { subject } = reading;
  const known = ['Sid', 'Effect', 'Action', 'NotAction', 'Resource', 'NotResource', 'Condition'];
  const named = subject.kind === 'bucket' ? [...known, 'Principal', 'NotPrincipal'] : known;
  const statement = fieldsOf(value, 'A statement', named);
  const { fields } = statement;
  if (fields.has('Sid') && typeof fields.get('Sid') !== 'string') throw malformed('Sid must be a string.');
  const effect = fields.get('Effect');
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed('Effect must be Allow or Deny.');
  const principals = subject.kind === 'bucket' ? selection(statement, 'Principal', principalsOf) : undefined;
  if (effect === 'Allow' && principals?.isNot === true)
    throw malformed('Allow with NotPrincipal is not allowed: it would grant to everybody else.');
  const conditions = conditionsOf(fields.get('Condition'), reading);
  for (const condition of conditions) refuseVain(effect, condition);
  return {
    effect,
    principals,
    actions: selection(statement, 'Action', actionsOf),
    resources: selection(statement, 'Resource', (given) => resourcesOf(given, reading)),
    conditions,
  };
}

/** Throws S3Error MalformedPolicy. */
export function parsePolicy(document: Uint8Array, subject: PolicySubject): Policy {
  if (document.length > POLICY_BYTES_MAX)
    throw malformed(`A policy has at most ${String(POLICY_BYTES_MAX)} bytes.`);
  let text: string;
  try {
    text = fromUtf8(document);
  } catch {
    throw malformed('The policy is not UTF-8.');
  }
  const json = parseStrictJson(text, DEPTH_MAX);
  if (json === undefined) throw malformed('The policy is not valid JSON.');
  const { fields } = fieldsOf(json, 'A policy', ['Version', 'Id', 'Statement']);
  const version = fields.get('Version');
  if (version !== undefined && version !== '2012-10-17' && version !== '2008-10-17')
    throw malformed('Version must be 2012-10-17 or 2008-10-17.');
  if (fields.has('Id') && typeof fields.get('Id') !== 'string') throw malformed('Id must be a string.');
  const given = fields.get('Statement');
  if (given === undefined) throw malformed('A policy needs a statement.');
  const statements = isJsonArray(given) ? given : [given];
  if (statements.length === 0) throw malformed('A policy needs a statement.');
  const reading: Reading = { subject, hasVariables: version === '2012-10-17' };
  return { statements: statements.map((statement) => statementOf(statement, reading)) };
}
