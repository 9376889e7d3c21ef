/**
 * `holdfast bucket`: state roots of a bucket, what proves them, and what became of a bucket since
 * (docs/state-roots.md). A root is kept as an object of the bucket `holdfast-roots`, or in a file.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import readline from 'node:readline';
import { equal, hex } from '../base/bytes.ts';
import { isOperationError, OperationError } from '../base/errors.ts';
import { CERTS_BATCH_MAX } from '../base/limits.ts';
import {
  BUCKET_PROOF_BYTES_MAX,
  BUCKET_ROOT_BYTES_MAX,
  encodeBucketProof,
  foldLeaves,
  formatListLine,
  leavesAt,
  makeBucketRoot,
  openBucketProof,
  openBucketRoot,
  parseListLine,
  proveLeaf,
  signBucketRoot,
} from '../gateway/history/bucket-root.ts';
import type { BucketLeaf, BucketRoot, OpenedRoot, RootScope } from '../gateway/history/bucket-root.ts';
import { changesBetween, missingFrom } from '../gateway/history/compare.ts';
import type { Change } from '../gateway/history/compare.ts';
import type { Moment } from '../gateway/history/history.ts';
import { keyOf, ROOTS_BUCKET } from '../gateway/root-schedule.ts';
import { listedVersionId, stampOfId } from '../gateway/version-id.ts';
import { BatchSigner } from '../protocol/batch-signer.ts';
import type { Cluster } from '../protocol/configuration.ts';
import { compareStamps } from '../protocol/stamp.ts';
import { readDocument } from './bound-cluster.ts';
import { memberFolder } from './cluster-folder.ts';
import { frontDoor } from './front-door.ts';
import { readGivenFile } from './given-file.ts';
import { bucketOf, timeOf, withHistory } from './history-tool.ts';
import type { HistoryTool } from './history-tool.ts';
import { CONFIG_FILE } from './identity-folder.ts';
import { openConfiguration } from './root-configuration.ts';
import { S3Client } from './s3-client.ts';
import { systemClock } from './system-ports.ts';
import { formatBytes } from './terminal.ts';
import type { Terminal } from './terminal.ts';

export interface BucketTarget {
  /** Folder of a gateway, or of `holdfast up`. */
  readonly dir: string;
  readonly terminal: Terminal;
}

export async function bucketRoot(bucket: string, options: BucketTarget & { readonly at: string | undefined; readonly out: string | undefined; readonly list: string | undefined; readonly endpoint: string | undefined }): Promise<void> {
  const untilMs = options.at === undefined ? null : timeOf(options.at, '--at');
  const { document, root } = await withHistory(options.dir, async (tool) => {
    const scope: RootScope = { ...(await bucketOf(tool, bucket)), moment: { sizes: tool.logs.sizes, untilMs } };
    const { cluster, identity, history, logs } = tool;
    const root = await makeBucketRoot(history, { cluster, gatewayId: identity.id, bucket, madeMs: systemClock.nowMs(), notes: logs.notes }, scope);
    if (options.list !== undefined) await writeList(options.list, leavesAt(tool.history, scope));
    return { root, document: await signBucketRoot(new BatchSigner(tool.identity.signingKey, tool.cluster.id), root) };
  });
  const kept = options.out ?? (await keepRoot(options, root, document));
  if (options.out !== undefined) await fsp.writeFile(options.out, document);
  const fields = { bucket, root: hex(root.root), count: root.count, bytes: root.bytes, madeMs: root.madeMs, untilMs, kept };
  options.terminal.say('root', fields, `${bucket}: ${root.count} live versions, ${formatBytes(root.bytes)}\nroot ${hex(root.root)}\nkept in ${kept}`);
}

/** As an object, which the nodes keep as they keep all. Returns its address. */
async function keepRoot({ dir, endpoint }: { readonly dir: string; readonly endpoint: string | undefined }, { bucket, madeMs }: BucketRoot, document: Uint8Array): Promise<string> {
  const key = keyOf(bucket, madeMs);
  const client = new S3Client(await frontDoor(dir, endpoint));
  try {
    await client.createBucket(ROOTS_BUCKET).catch((error: unknown) => {
      if (!isOperationError(error, 'ALREADY_EXISTS')) throw error;
    });
    const open = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(document);
    };
    await client.put(ROOTS_BUCKET, key, { size: document.length, open }, 'application/octet-stream');
  } finally {
    client.close();
  }
  return `${ROOTS_BUCKET}/${key}`;
}

/** The leaves of a root as JSON lines, for whoever keeps them beside it. */
async function writeList(file: string, leaves: AsyncIterable<BucketLeaf>): Promise<void> {
  const handle = await fsp.open(file, 'w');
  try {
    for await (const leaf of leaves) await handle.write(`${formatListLine(leaf)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** BAD_MESSAGE for a line that is no version. */
async function* readList(file: string): AsyncIterable<BucketLeaf> {
  for await (const line of readline.createInterface({ input: fs.createReadStream(file) })) {
    const leaf = parseListLine(line);
    if (leaf === null) throw new OperationError('BAD_MESSAGE', `${file} is not a list of versions.`);
    yield leaf;
  }
}

async function configurationOf(dir: string): Promise<Cluster> {
  for (const folder of [dir, memberFolder(dir)]) {
    const file = `${folder}/${CONFIG_FILE}`;
    if (fs.existsSync(file)) return openConfiguration(await readDocument(file), file);
  }
  throw new OperationError('NOT_FOUND', `${dir} holds no ${CONFIG_FILE}.`, { remedy: 'Name the root document with --config.' });
}

export async function readRoot(cluster: Cluster, file: string): Promise<{ readonly opened: OpenedRoot; readonly document: Uint8Array }> {
  const document = await readGivenFile(file, 'state root', BUCKET_ROOT_BYTES_MAX, 'BAD_MESSAGE');
  const opened = openBucketRoot(cluster, document);
  if (opened.ok) return { opened: opened.value, document };
  throw new OperationError('DAMAGED', `${file} is no state root of this cluster: ${opened.reason}.`);
}

export async function bucketProve(bucket: string, key: string, options: BucketTarget & { readonly root: string; readonly out: string | undefined; readonly versionId: string | undefined }): Promise<void> {
  const proof = await withHistory(options.dir, async (tool) => {
    const { opened, document } = await readRoot(tool.cluster, options.root);
    requireBucket(opened, bucket);
    await requireSameRoot(tool, opened);
    const stamp = options.versionId === undefined ? undefined : stampOfId(options.versionId, opened.root.gen);
    const isWanted = (leaf: BucketLeaf): boolean => leaf.key === key && (stamp === undefined || (leaf.stamp.counter === stamp.counter && equal(leaf.stamp.writerId, stamp.writerId)));
    return proveLeaf(() => leavesAt(tool.history, opened.scope), document, opened.root.count, isWanted);
  });
  if (proof === null) throw new OperationError('NOT_FOUND', `${bucket}/${key} was not live at the moment of this root.`);
  const out = options.out ?? `${key.split('/').at(-1) ?? 'object'}.proof`;
  await fsp.writeFile(out, encodeBucketProof(proof));
  options.terminal.say('proof', { bucket, key, index: proof.index, file: out }, `${bucket}/${key} is version ${proof.index} of the root; proof in ${out}`);
}

function requireBucket({ root }: OpenedRoot, bucket: string): void {
  if (root.bucket !== bucket) throw new OperationError('BAD_ARGUMENT', `The root is of the bucket ${root.bucket}, not ${bucket}.`);
}

/** The nodes' logs must lead to the same root that was signed. DAMAGED. */
async function requireSameRoot({ history }: HistoryTool, { root, scope }: OpenedRoot): Promise<void> {
  const now = await foldLeaves(leavesAt(history, scope));
  if (equal(now.root, root.root) && now.count === root.count) return;
  throw new OperationError('DAMAGED', `The logs lead to ${now.count} versions with root ${hex(now.root)} at that moment, not to the ${root.count} versions that were signed.`, {
    remedy: 'With the list that `bucket root --list` wrote, `bucket compare --list` names what is missing.',
  });
}

/** Offline, unless `online`: then the nodes must stand by it too. */
export async function bucketVerify(options: BucketTarget & { readonly root: string | undefined; readonly proof: string | undefined; readonly online: boolean; readonly config: string | undefined }): Promise<void> {
  const { terminal } = options;
  const cluster = options.config === undefined ? await configurationOf(options.dir) : openConfiguration(await readDocument(options.config), options.config);
  if (options.root === undefined && options.proof === undefined) throw new OperationError('BAD_ARGUMENT', 'Name a state root with --root, or a proof with --proof.');
  if (options.proof !== undefined) {
    const opened = openBucketProof(cluster, await readGivenFile(options.proof, 'proof', BUCKET_PROOF_BYTES_MAX, 'BAD_MESSAGE'));
    if (!opened.ok) throw new OperationError('DAMAGED', `${options.proof} proves nothing: ${opened.reason}.`);
    const { leaf, opened: of } = opened.value;
    const versionId = listedVersionId(leaf.kept, leaf.stamp);
    const fields = { bucket: of.root.bucket, key: leaf.key, versionId, marker: leaf.marker, size: leaf.size, etag: leaf.etag, madeMs: of.root.madeMs };
    terminal.say('proven', fields, `${of.root.bucket}/${leaf.key} (${leaf.marker ? 'delete marker' : `${leaf.size} bytes, etag ${leaf.etag}`}) was live when the root of ${new Date(of.root.madeMs).toISOString()} was made`);
  }
  if (options.root === undefined) return;
  const { opened } = await readRoot(cluster, options.root);
  const { root, checkpoints } = opened;
  const logs = [...checkpoints].map(([slot, { size }]) => ({ slot, size }));
  terminal.say('verified', { bucket: root.bucket, count: root.count, root: hex(root.root), madeMs: root.madeMs, untilMs: root.untilMs, gatewayId: hex(root.gatewayId), logs }, `${root.bucket}: ${root.count} versions, signed by gateway ${hex(root.gatewayId).slice(0, 16)} with checkpoints of ${logs.length} logs`);
  if (!options.online) return;
  await withHistory(options.dir, async (tool) => {
    await requireLogs(tool, opened, terminal);
    await requireSameRoot(tool, opened);
    const vanished = await vanishedNow(tool, { ...opened.scope, moment: now(tool) }, terminal);
    if (vanished > 0) throw unexplained(vanished);
  });
  terminal.say('online', { bucket: root.bucket }, 'the logs still begin so, lead to this root, and every version that is live by them is shown by the nodes');
}

/** Each log of the root must begin as its checkpoint says. DAMAGED names who shows another beginning. */
async function requireLogs({ client }: HistoryTool, { checkpoints }: OpenedRoot, terminal: Terminal): Promise<void> {
  const others: number[] = [];
  for (const [slot, checkpoint] of checkpoints) {
    const beginning = await client.beginsWith(slot, checkpoint);
    if (beginning === 'other') others.push(slot);
    if (beginning === 'unreachable') terminal.warn('unreachable', { slot }, `node ${slot} does not answer: its log is not checked`);
  }
  if (others.length > 0) throw new OperationError('DAMAGED', `The logs of nodes ${others.join(', ')} do not begin as they signed then.`);
}

function now({ logs }: HistoryTool): Moment {
  return { sizes: logs.sizes, untilMs: null };
}

/** Versions that are live by the history and that no node shows. */
async function vanishedNow({ client, history, registry }: HistoryTool, scope: RootScope, terminal: Terminal): Promise<number> {
  let count = 0;
  const batch: BucketLeaf[] = [];
  const bucket = await registry.ofId(scope.bucketId, scope.gen);
  const look = async (): Promise<void> => {
    const leaves = batch.splice(0);
    if (bucket === null) return;
    const wanted = leaves.map(({ key, stamp }) => ({ keyId: bucket.keys.objectKeyId(key), stamp, slots: [], exact: true }));
    const certs = await client.certificates(wanted);
    for (const [i, leaf] of leaves.entries()) {
      const keyId = wanted[i]?.keyId;
      if (keyId === undefined || (certs[i] ?? null) !== null) continue;
      // Removed by what came after this command had read the logs is explained by the next one.
      const { kind } = await client.headAt(keyId, leaf.stamp);
      if (kind !== 'absent' || (await isReplaced(client, keyId, leaf))) continue;
      count += 1;
      terminal.warn('vanished', { key: leaf.key, versionId: listedVersionId(leaf.kept, leaf.stamp) }, `no node shows ${leaf.key} (${leaf.size} bytes)`);
    }
  };
  for await (const leaf of leavesAt(history, scope)) {
    batch.push(leaf);
    if (batch.length >= CERTS_BATCH_MAX) await look();
  }
  await look();
  return count;
}

/** A bucket without slots does not say which version a newer one ended. */
async function isReplaced(client: HistoryTool['client'], keyId: Uint8Array, { stamp }: BucketLeaf): Promise<boolean> {
  const head = await client.head(keyId);
  return head !== null && compareStamps(head.stamp, stamp) > 0;
}

function unexplained(count: number): OperationError {
  return new OperationError('DAMAGED', `${count} versions are gone without an explanation.`);
}

export async function bucketCompare(oldFile: string, newFile: string | undefined, options: BucketTarget & { readonly list: string | undefined }): Promise<void> {
  const { terminal } = options;
  await withHistory(options.dir, async (tool) => {
    const { opened: old } = await readRoot(tool.cluster, oldFile);
    const after = newFile === undefined ? null : (await readRoot(tool.cluster, newFile)).opened;
    if (after !== null) requireBucket(after, old.root.bucket);
    await requireLogs(tool, old, terminal);
    let gone = 0;
    if (options.list !== undefined) gone += await lackingOfList(tool, old, options.list, terminal);
    if (gone === 0) await requireSameRoot(tool, old);
    if (after !== null) await requireSameRoot(tool, after);
    const counts: Record<string, number> = {};
    for await (const change of changesBetween(tool.history, old.scope, old.scope.moment, after?.scope.moment ?? now(tool))) {
      counts[change.change] = (counts[change.change] ?? 0) + 1;
      sayChange(change, terminal);
      if (change.change === 'unexplained') gone += 1;
    }
    if (after === null) gone += await vanishedNow(tool, { ...old.scope, moment: now(tool) }, terminal);
    const text = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
    terminal.say('compared', { bucket: old.root.bucket, ...counts, gone }, text.length === 0 ? 'nothing changed' : text.join(', '));
    if (gone > 0) throw unexplained(gone);
  });
}

async function lackingOfList({ history }: HistoryTool, { root, scope }: OpenedRoot, file: string, terminal: Terminal): Promise<number> {
  const folded = await foldLeaves(readList(file));
  if (!equal(folded.root, root.root)) throw new OperationError('DAMAGED', `${file} is not the list of this root.`);
  let count = 0;
  for await (const leaf of missingFrom(readList(file), leavesAt(history, scope))) {
    count += 1;
    terminal.warn('unexplained', { key: leaf.key, versionId: listedVersionId(leaf.kept, leaf.stamp) }, `no log knows ${leaf.key} (${leaf.size} bytes) any more`);
  }
  return count;
}

function sayChange({ change, key, stamp, size, etag, by }: Change, terminal: Terminal): void {
  const when = by === null ? '' : `  ${new Date(by.mtimeMs).toISOString()}  gateway ${hex(by.gatewayId).slice(0, 16)}`;
  const fields = { change, key, counter: stamp.counter, size, etag, byMs: by?.mtimeMs ?? null, gatewayId: by === null ? null : hex(by.gatewayId) };
  terminal.say('change', fields, `${change.padEnd(11)}  ${formatBytes(size).padStart(10)}  ${key}${when}`);
}

