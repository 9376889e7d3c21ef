/** Whether a bucket keeps versions: never, enabled, or suspended, from which there is no way back to never. */
import { stateOf } from '../documents/state.ts';
import { bucketOf, emptyResponse, operationOf, refusal } from '../call.ts';
import type { Feature } from '../call.ts';
import { readAll } from '../body/content.ts';
import { S3Error } from '../http/errors.ts';
import { element, fields, readXml, requiredText, XML_BYTES_MAX, xmlResponse } from '../http/xml.ts';

/** Throws S3Error MalformedXML, IllegalVersioningConfigurationException or NotImplemented. */
export function parseVersioning(document: Uint8Array): 'enabled' | 'suspended' {
  const root = readXml(document, 'VersioningConfiguration');
  const { Status, MfaDelete } = fields(root, ['Status', 'MfaDelete']);
  if (MfaDelete !== undefined && requiredText('MfaDelete', MfaDelete) !== 'Disabled')
    throw new S3Error('NotImplemented', 'MfaDelete is not built.');
  if (Status === undefined) throw new S3Error('IllegalVersioningConfigurationException');
  const status = requiredText('Status', Status);
  if (status === 'Enabled') return 'enabled';
  if (status === 'Suspended') return 'suspended';
  throw new S3Error('MalformedXML', 'Status must be Enabled or Suspended.');
}

/** An empty document is S3's way to say that versioning was never enabled. */
export const getBucketVersioning: Feature = async (call) => {
  const { versioning } = await stateOf(call);
  const status = versioning === 'never' ? [] : [element('Status', versioning === 'enabled' ? 'Enabled' : 'Suspended')];
  return xmlResponse(200, element('VersioningConfiguration', status));
};

export const putBucketVersioning: Feature = async (call) => {
  const versioning = parseVersioning(await readAll(call.content(XML_BYTES_MAX)));
  const result = await call.store.changeBucket({
    bucket: bucketOf(call),
    change: { kind: 'versioning', versioning },
    operation: operationOf(call),
  });
  if (result.outcome === 'changed') return emptyResponse(200);
  if (result.outcome === 'not-allowed') {
    throw new S3Error(
      'InvalidBucketState',
      'An Object Lock configuration is present on this bucket, so versioning cannot be suspended.',
    );
  }
  throw refusal(result.outcome);
};
