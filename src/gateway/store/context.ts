/** What the operations of the store share. */
import type { Clock, Random, Telemetry } from '../../base/ports.ts';
import type { ProtocolClient } from '../../client/client.ts';
import type { BucketRegistry } from '../buckets/bucket-registry.ts';
import type { ListingBarrier } from '../index/listing-barrier.ts';
import type { ObjectIndex } from '../index/object-index.ts';
import type { Operations } from '../operations.ts';
import type { BackgroundWork } from './background-work.ts';
import type { BucketStates } from './bucket-states.ts';
import type { UploadQuotas } from './upload-quota.ts';

export interface StoreContext {
  readonly client: ProtocolClient;
  readonly registry: BucketRegistry;
  readonly barrier: ListingBarrier;
  readonly index: ObjectIndex;
  readonly operations: Operations;
  readonly uploadQuotas: UploadQuotas;
  readonly background: BackgroundWork;
  /** What the front is told of buckets. */
  readonly states: BucketStates;
  /** Account of what carries none. */
  readonly ownerId: string;
  readonly random: Random;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** The version was written by this gateway: its encoding needs no check when it is read. */
  readonly onWritten: (manifestHash: Uint8Array) => void;
  /** How long the parts of a completed upload stay, so that every node has the part table before they go. */
  readonly partsKeptMs: number;
  /** How long a bucket may stay CLOSING before whoever meets it ends that. */
  readonly closingMs: number;
}
