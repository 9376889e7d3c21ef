/**
 * What happened to an object, for whoever wants to be told. A sink takes an event after its change is durable
 * and before that is acknowledged: what was acknowledged is told, though the process end at once.
 */

/** Events that are sent; a configuration may name no others. */
export const EVENT_NAMES = [
  's3:ObjectCreated:Put',
  's3:ObjectCreated:Post',
  's3:ObjectCreated:Copy',
  's3:ObjectCreated:CompleteMultipartUpload',
  's3:ObjectRemoved:Delete',
  's3:ObjectRemoved:DeleteMarkerCreated',
  's3:ObjectTagging:Put',
  's3:ObjectTagging:Delete',
  's3:ObjectAcl:Put',
  's3:LifecycleExpiration:Delete',
  's3:LifecycleExpiration:DeleteMarkerCreated',
] as const;
export type EventName = (typeof EVENT_NAMES)[number];

export interface ObjectEvent {
  readonly name: EventName;
  readonly bucket: string;
  readonly key: string;
  readonly timeMs: number;
  readonly versionId: string | undefined;
  readonly etag: string | undefined;
  /** Undefined where there is no content, or its size is not known without a look. */
  readonly size: number | undefined;
  /** Canonical id of the account that asked; undefined: nobody, or the gateway by itself. */
  readonly accountId: string | undefined;
  readonly sourceAddress: string | undefined;
  readonly requestId: string;
}

export interface EventSink {
  /** Throws OperationError when it cannot take the event: then the change must not be acknowledged. */
  emit(event: ObjectEvent): Promise<void>;
}

/** Where nobody is to be told anything. */
export const NO_EVENTS: EventSink = { emit: () => Promise.resolve() };
