/**
 * `holdfast ls --as-of` and `get --as-of`: a bucket as it was at a moment, which is a date or the moment of a
 * state root. What was listed then is known from the logs for ever; what can be read is what versioning kept.
 */
import fs from 'node:fs';
import { OperationError } from '../base/errors.ts';
import { leavesAt } from '../gateway/history/bucket-root.ts';
import type { BucketLeaf, RootScope } from '../gateway/history/bucket-root.ts';
import { listedVersionId } from '../gateway/version-id.ts';
import { readRoot } from './bucket-commands.ts';
import { bucketOf, timeOf, withHistory } from './history-tool.ts';
import type { HistoryTool } from './history-tool.ts';
import { formatBytes } from './terminal.ts';
import type { Terminal } from './terminal.ts';

/** `text`: a file that holds a state root of the bucket, or a date. */
async function scopeOf(tool: HistoryTool, bucket: string, text: string): Promise<RootScope> {
  if (!fs.existsSync(text)) return { ...(await bucketOf(tool, bucket)), moment: { sizes: tool.logs.sizes, untilMs: timeOf(text, '--as-of') } };
  const { opened } = await readRoot(tool.cluster, text);
  if (opened.root.bucket === bucket) return opened.scope;
  throw new OperationError('BAD_ARGUMENT', `The root is of the bucket ${opened.root.bucket}, not ${bucket}.`);
}

/** Of each key the version that was the newest, unless that was a delete marker. */
async function* objectsAt(tool: HistoryTool, scope: RootScope): AsyncIterable<BucketLeaf> {
  let last: string | null = null;
  for await (const leaf of leavesAt(tool.history, scope)) {
    if (leaf.key === last) continue;
    last = leaf.key;
    if (!leaf.marker) yield leaf;
  }
}

export async function listAsOf(bucket: string, prefix: string, asOf: string, { dir, terminal }: { readonly dir: string; readonly terminal: Terminal }): Promise<void> {
  await withHistory(dir, async (tool) => {
    for await (const { key, size, etag, mtimeMs, kept, stamp } of objectsAt(tool, await scopeOf(tool, bucket, asOf))) {
      if (!key.startsWith(prefix)) continue;
      const lastModified = new Date(mtimeMs).toISOString();
      const versionId = listedVersionId(kept, stamp);
      terminal.say('object', { bucket, key, size, etag, lastModified, versionId }, `${lastModified.padEnd(24)}  ${formatBytes(size).padStart(10)}  ${key}`);
    }
  });
}

/** The version id under which the gateway gives the version that was the newest then. NOT_FOUND when there was none, or it was not kept. */
export async function versionAsOf(bucket: string, key: string, asOf: string, dir: string): Promise<string> {
  return withHistory(dir, async (tool) => {
    const scope = await scopeOf(tool, bucket, asOf);
    const wanted = await firstOf(objectsAt(tool, scope), (leaf) => leaf.key === key);
    if (wanted === null) throw new OperationError('NOT_FOUND', `${bucket}/${key} did not exist then.`);
    const today: RootScope = { ...scope, moment: { sizes: tool.logs.sizes, untilMs: null } };
    const kept = await firstOf(leavesAt(tool.history, today), (leaf) => leaf.key === key && sameHash(leaf, wanted));
    if (kept !== null) return listedVersionId(kept.kept, kept.stamp);
    throw new OperationError('NOT_FOUND', `The version of ${bucket}/${key} (${wanted.size} bytes, etag ${wanted.etag}) is known, but was not kept.`, {
      remedy: 'Only buckets with versioning keep what is replaced or deleted.',
    });
  });
}

function sameHash(a: BucketLeaf, b: BucketLeaf): boolean {
  return Buffer.compare(a.manifestHash, b.manifestHash) === 0;
}

async function firstOf(leaves: AsyncIterable<BucketLeaf>, isIt: (leaf: BucketLeaf) => boolean): Promise<BucketLeaf | null> {
  for await (const leaf of leaves) if (isIt(leaf)) return leaf;
  return null;
}
