/** An event as S3's JSON says it, and the signature by which its receiver knows that it is ours. */
import { hex, utf8 } from '../../../base/bytes.ts';
import { hmacSha256 } from '../../../crypto/primitives.ts';
import { bytesOfText } from '../http/headers.ts';
import { uriEncode } from '../http/uri.ts';
import type { ObjectEvent } from '../port/events.ts';

export interface RecordFacts {
  readonly region: string;
  readonly configurationId: string;
  readonly bucketOwner: string;
  readonly sequencer: string;
}

const isCreation = ({ name }: ObjectEvent): boolean => name.startsWith('s3:ObjectCreated:');

/** Keys are percent-encoded with `+` for a space, as S3 does it. */
export function eventRecord(event: ObjectEvent, { region, configurationId, bucketOwner, sequencer }: RecordFacts): object {
  return {
    eventVersion: '2.1',
    eventSource: 'holdfast:s3',
    awsRegion: region,
    eventTime: new Date(event.timeMs).toISOString(),
    eventName: event.name.slice('s3:'.length),
    userIdentity: { principalId: event.accountId ?? '' },
    requestParameters: { sourceIPAddress: event.sourceAddress ?? '' },
    responseElements: { 'x-amz-request-id': event.requestId },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId,
      bucket: { name: event.bucket, ownerIdentity: { principalId: bucketOwner }, arn: `arn:aws:s3:::${event.bucket}` },
      object: {
        key: uriEncode(bytesOfText(event.key), false).replaceAll('%20', '+'),
        ...(isCreation(event) ? { size: event.size ?? 0 } : {}),
        ...(event.etag === undefined ? {} : { eTag: event.etag }),
        ...(event.versionId === undefined ? {} : { versionId: event.versionId }),
        sequencer,
      },
    },
  };
}

/**
 * Value of x-holdfast-signature: `t=<milliseconds>,v1=<HMAC-SHA-256 in hex>` over the time, a dot and the body.
 * The time is inside, so that a receiver can refuse what is repeated later.
 */
export function webhookSignature(secret: string, timeMs: number, body: string): string {
  return `t=${String(timeMs)},v1=${hex(hmacSha256(utf8(secret), utf8(`${String(timeMs)}.${body}`)))}`;
}
