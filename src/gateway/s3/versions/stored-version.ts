/** The one way in which features read and change the attributes of the stored version that a request names. */
import { refusal } from '../call.ts';
import type { Call } from '../call.ts';
import type { OperationId } from '../port/content.ts';
import type { AttributesChange, ObjectInfo } from '../port/objects.ts';
import { missing, versionAddressOf } from './version-id.ts';

/** The version that the request names. Throws S3Error when there is none. */
export async function readVersion(call: Call): Promise<ObjectInfo> {
  const address = versionAddressOf(call);
  const found = await call.store.headObject(address);
  if (found.outcome !== 'found') throw missing(found, address);
  return found.info;
}

/** Changes the version that the request names and gives its id. Throws S3Error unless it was done. */
export async function changeAttributes(
  call: Call,
  change: AttributesChange,
  operation: OperationId,
): Promise<string | undefined> {
  const address = versionAddressOf(call);
  const result = await call.store.changeAttributes({ ...address, change, operation });
  switch (result.outcome) {
    case 'changed':
      return result.versionId;
    case 'no-such-bucket':
    case 'no-such-key':
    case 'no-such-version':
    case 'delete-marker':
      throw missing(result, address);
    case 'lock-disabled':
    case 'locked':
    case 'unknown':
      throw refusal(result.outcome);
  }
}
