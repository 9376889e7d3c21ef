/** What the acts of the AWS SDK's repertoire share: a client, buckets of their own, reading, and being refused. */
import http from 'node:http';
import { CreateBucketCommand, GetObjectCommand, PutBucketVersioningCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { CreateBucketCommandInput, GetObjectCommandInput, PutObjectCommandInput, PutObjectCommandOutput, S3ClientConfig } from '@aws-sdk/client-s3';
import { expect } from 'vitest';
import type { ClientEndpoint } from '../endpoints.ts';

export const PART_BYTES = 5 * 1024 * 1024;

export class SdkEndpoint {
  readonly endpoint: ClientEndpoint;
  readonly client: S3Client;
  #buckets = 0;

  constructor(endpoint: ClientEndpoint) {
    this.endpoint = endpoint;
    this.client = this.connect();
  }

  /** With default settings but for where the endpoint is; `more` overrides them. */
  connect(more: S3ClientConfig = {}): S3Client {
    const { origin, region, accessKeyId, secretAccessKey } = this.endpoint;
    return new S3Client({ endpoint: origin, region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true, ...more });
  }

  /** The bucket before the host name, whose names all mean this machine. */
  connectVirtualHosted(): S3Client {
    const { port } = new URL(this.endpoint.origin);
    const httpAgent = new http.Agent({
      keepAlive: true,
      lookup: (_name, { all }, done) => (all === true ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)),
    });
    return this.connect({ endpoint: `http://localhost:${port}`, forcePathStyle: false, requestHandler: { httpAgent } });
  }

  async bucket(more: Partial<CreateBucketCommandInput> = {}): Promise<string> {
    this.#buckets += 1;
    const Bucket = `sdk-${this.#buckets}-${Date.now().toString(36)}`;
    await this.client.send(new CreateBucketCommand({ Bucket, ...more }));
    return Bucket;
  }

  async versionedBucket(): Promise<string> {
    const Bucket = await this.bucket();
    await this.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }));
    return Bucket;
  }

  put(Bucket: string, Key: string, Body: string | Uint8Array = Key, more: Partial<PutObjectCommandInput> = {}): Promise<PutObjectCommandOutput> {
    return this.client.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
  }

  async read(Bucket: string, Key: string, more: Partial<GetObjectCommandInput> = {}): Promise<Buffer> {
    const { Body } = await this.client.send(new GetObjectCommand({ Bucket, Key, ...more }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  async text(Bucket: string, Key: string, more: Partial<GetObjectCommandInput> = {}): Promise<string> {
    return (await this.read(Bucket, Key, more)).toString();
  }
}

/** The request must be refused with this code. */
export async function refused(name: string, request: Promise<unknown>): Promise<void> {
  await expect(request).rejects.toMatchObject({ name });
}
