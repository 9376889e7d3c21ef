/**
 * Retention and legal hold of one version. The store refuses whatever would shorten a lock that is in force;
 * here is only said what was asked for, and whether the bucket knows locks at all.
 */
import { emptyResponse, isoTime, operationOf, refusal } from '../call.ts';
import type { Call, Feature } from '../call.ts';
import { stateOf } from '../documents/state.ts';
import { changeAttributes, readVersion } from '../versions/stored-version.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import type { Retention } from '../port/objects.ts';
import { versionHeaders } from '../versions/version-id.ts';
import { timestampMs } from '../http/timestamp.ts';
import { element, fields, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';
import { bypassesGovernance, isLockMode, requireFuture } from './lock-headers.ts';

/** An empty document takes the retention away. Throws S3Error MalformedXML or InvalidArgument. */
export function parseRetention(document: Uint8Array, nowMs: number): Retention | undefined {
  const root = readXml(document, 'Retention');
  const { Mode, RetainUntilDate } = fields(root, ['Mode', 'RetainUntilDate']);
  if (Mode === undefined && RetainUntilDate === undefined) return undefined;
  const mode = requiredText('Mode', Mode);
  if (!isLockMode(mode)) throw new S3Error('MalformedXML', 'Mode must be GOVERNANCE or COMPLIANCE.');
  const untilMs = timestampMs(
    requiredText('RetainUntilDate', RetainUntilDate),
    () => new S3Error('MalformedXML', 'RetainUntilDate must be a time in ISO 8601 format.'),
  );
  return { mode, untilMs: requireFuture(untilMs, nowMs) };
}

/** Throws S3Error MalformedXML. */
export function parseLegalHold(document: Uint8Array): boolean {
  const { Status } = fields(readXml(document, 'LegalHold'), ['Status']);
  const status = requiredText('Status', Status);
  if (status !== 'ON' && status !== 'OFF') throw new S3Error('MalformedXML', 'Status must be ON or OFF.');
  return status === 'ON';
}

async function requireLock(call: Call): Promise<void> {
  const { lockEnabled } = await stateOf(call);
  if (!lockEnabled) throw refusal('lock-disabled');
}

export const putObjectRetention: Feature = async (call) => {
  const { nowMs } = call.access.options.request;
  const retention = parseRetention(await readAll(call.content(XML_BYTES_MAX)), nowMs);
  await requireLock(call);
  const bypassGovernance = bypassesGovernance(call.headers);
  const change = { kind: 'retention', retention, bypassGovernance } as const;
  return emptyResponse(200, versionHeaders(await changeAttributes(call, change, operationOf(call))));
};

export const getObjectRetention: Feature = async (call) => {
  await requireLock(call);
  const { retention } = (await readVersion(call)).attributes;
  if (retention === undefined) throw new S3Error('NoSuchObjectLockConfiguration');
  return xmlResponse(
    200,
    element('Retention', [
      element('Mode', retention.mode),
      element('RetainUntilDate', isoTime(retention.untilMs)),
    ]),
  );
};

export const putObjectLegalHold: Feature = async (call) => {
  const legalHold = parseLegalHold(await readAll(call.content(XML_BYTES_MAX)));
  await requireLock(call);
  const versionId = await changeAttributes(call, { kind: 'legalHold', legalHold }, operationOf(call));
  return emptyResponse(200, versionHeaders(versionId));
};

export const getObjectLegalHold: Feature = async (call) => {
  await requireLock(call);
  const { legalHold } = (await readVersion(call)).attributes;
  return xmlResponse(200, element('LegalHold', [element('Status', legalHold ? 'ON' : 'OFF')]));
};
