/** Decoders of what a process reads back from its own disk: segments, records, snapshots, the journal and index of a gateway. */
import { concat, equal, utf8 } from '../../../src/base/bytes.ts';
import { isOperationError } from '../../../src/base/errors.ts';
import { sha256 } from '../../../src/crypto/primitives.ts';
import { decodeRow, encodeRow, partNumberOf, ROWS } from '../../../src/gateway/index/rows.ts';
import { EventJournal } from '../../../src/gateway/event-journal.ts';
import { GatewayJournal } from '../../../src/gateway/gateway-journal.ts';
import { CellJournal } from '../../../src/journal/cell-journal.ts';
import { LogJournal } from '../../../src/journal/log-journal.ts';
import type { Pointer } from '../../../src/journal/pointer.ts';
import { HEADER_BYTES, putHeader, putRecordHeader, readHeader, readRecord, RECORD_HEADER_BYTES } from '../../../src/journal/segment.ts';
import { SnapshotStore } from '../../../src/journal/snapshot-store.ts';
import { encodeEntry } from '../../../src/log/entry-types.ts';
import { MerkleLog } from '../../../src/log/merkle-log.ts';
import { encode } from '../../../src/protocol/encoding.ts';
import { committedBodyOf, encodeBoot } from '../../../src/protocol/log-entries.ts';
import { signedManifestToWire } from '../../../src/protocol/manifest.ts';
import { CountingTelemetry } from '../../../src/sim/counting-telemetry.ts';
import { FaultyDisk } from '../../../src/sim/faulty-disk.ts';
import { SeededRandom } from '../../../src/sim/seeded-random.ts';
import { SystemClock } from '../../../src/platform/clock.ts';
import { PackedReader, PackedWriter } from '../../../src/storage-node/packed.ts';
import { decodeRecord, encodeRecord, packExtents, pointersOf } from '../../../src/storage-node/records.ts';
import type { ContentRecord, NodeRecord } from '../../../src/storage-node/records.ts';
import { thaw } from '../../../src/storage-node/snapshot.ts';
import { Names, readContent, readStamp, readVersion, writeContent, writeStamp, writeVersion } from '../../../src/storage-node/snapshot-rows.ts';
import { NodeState } from '../../../src/storage-node/state.ts';
import { decoder, holds, operationErrors, sameBytes } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { CERTIFICATES, id, MANIFESTS, signed, manifestOf, stampAt } from '../valid.ts';

const JOURNAL_ID = id('journal').subarray(0, 16);
const INSTANCE = id('instance').subarray(0, 16);
const clock = new SystemClock();
const bytesForm = { form: 'bytes' } as const;
const version = MANIFESTS[0] ?? signed(manifestOf('DATA'));

/** A header block and one record behind it. */
function segmentSeed(): Uint8Array {
  const payload = utf8('a record of the journal');
  const out = new Uint8Array(HEADER_BYTES + RECORD_HEADER_BYTES + 24);
  putHeader(out, { kind: 'log', segment: 1, journalId: JOURNAL_ID, instance: INSTANCE, firstSequence: 1 });
  out.set(payload, HEADER_BYTES + RECORD_HEADER_BYTES);
  putRecordHeader(out, HEADER_BYTES, INSTANCE, { kind: 'data', length: payload.length, covered: payload.length, batch: HEADER_BYTES, sequence: 1 });
  return out;
}

function acceptsSegment(input: Uint8Array): boolean {
  const header = readHeader(input, { kind: 'log', segment: 1, journalId: JOURNAL_ID });
  for (const at of [HEADER_BYTES, 0, input.length - RECORD_HEADER_BYTES]) {
    const record = at < 0 ? null : readRecord(input, at, INSTANCE);
    if (record !== null) holds(record.covered <= record.length && at + RECORD_HEADER_BYTES + record.length <= input.length, 'a record lies in its segment');
  }
  return header.ok;
}

async function writeFile(disk: FaultyDisk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, { create: true });
  await file.truncate(0);
  await file.writeAt(0, [bytes]);
  await file.close();
}

/** Runs `make` on an empty disk and returns the file that it leaves; later calls repeat the bytes. */
async function fileMadeBy(folder: string, prefix: string, make: (disk: FaultyDisk) => Promise<void>): Promise<{ path: string; bytes: Uint8Array }> {
  const disk = new FaultyDisk();
  await make(disk);
  const name = (await disk.list(folder)).find((found) => found.startsWith(prefix));
  if (name === undefined) throw new Error(`no ${prefix} in ${folder}`);
  const path = `${folder}/${name}`;
  const file = await disk.open(path);
  const bytes = await file.readAt(0, await file.size());
  await file.close();
  return { path, bytes };
}

const LOG_RECORDS = ['first', 'second', 'third'].map(utf8);
const logFile = await fileMadeBy('log', 'log-', async (disk) => {
  const journal = await LogJournal.open(disk, 'log', JOURNAL_ID, { segmentBytes: 8192, onRecord: () => undefined });
  for (const record of LOG_RECORDS) await journal.append([record]);
  await journal.close();
});

/** The records of a segment file: the input stands between the header and the zeros that follow. */
const RECORDS_END = HEADER_BYTES + 3 * 64 + RECORD_HEADER_BYTES;
const recordsOf = (file: Uint8Array): Uint8Array => file.slice(HEADER_BYTES, RECORDS_END);
const withRecords = (file: Uint8Array, records: Uint8Array): Uint8Array => concat(file.subarray(0, HEADER_BYTES), records, file.subarray(HEADER_BYTES + records.length));

async function acceptsLogFile(input: Uint8Array): Promise<boolean> {
  const disk = new FaultyDisk();
  await disk.makeFolder('log');
  await writeFile(disk, logFile.path, withRecords(logFile.bytes, input));
  const read: Uint8Array[] = [];
  const journal = await LogJournal.open(disk, 'log', JOURNAL_ID, { segmentBytes: 8192, onRecord: (bytes) => read.push(bytes.slice()) });
  await journal.close();
  read.forEach((record, i) => holds(equal(record, LOG_RECORDS[i] ?? new Uint8Array(0)), 'only what was appended is read, in its order'));
  return true;
}

const CHUNKS = [utf8('chunk one'), new Uint8Array(60).fill(5)];
const snapshotFile = await fileMadeBy('snap', 'snapshot-', async (disk) => {
  const store = await SnapshotStore.open(disk, 'snap', JOURNAL_ID);
  await store.write(7, CHUNKS);
});

async function acceptsSnapshotFile(input: Uint8Array): Promise<boolean> {
  const disk = new FaultyDisk();
  await disk.makeFolder('snap');
  await writeFile(disk, snapshotFile.path, input);
  const newest = await (await SnapshotStore.open(disk, 'snap', JOURNAL_ID)).newest();
  if (newest !== null) holds(newest.sequence === 7 && equal(concat(...newest.chunks), concat(...CHUNKS)), 'only what was written is read');
  return newest !== null;
}

let cellPlace: Pointer = { segment: 1, offset: HEADER_BYTES, length: 0 };
const cellFile = await fileMadeBy('cells', 'cells-', async (disk) => {
  const journal = await CellJournal.open(disk, 'cells', JOURNAL_ID, new SeededRandom('cells'), 8192);
  journal.recovered();
  cellPlace = await journal.append(utf8('a cell'));
  await journal.sync();
  await journal.close();
});

async function acceptsCellFile(input: Uint8Array): Promise<boolean> {
  const disk = new FaultyDisk();
  await disk.makeFolder('cells');
  await writeFile(disk, cellFile.path, withRecords(cellFile.bytes, input));
  const journal = await CellJournal.open(disk, 'cells', JOURNAL_ID, new SeededRandom('again'), 8192);
  try {
    journal.retain(cellPlace);
    journal.recovered();
    const cell = await journal.read(cellPlace);
    holds(equal(cell, utf8('a cell')), 'only what was written is read');
    return true;
  } finally {
    await journal.close();
  }
}

const content: ContentRecord = {
  contentId: id('matrix'), shape: 'CELLS', k: 2, n: 4, cellBytes: 1024, size: 1000,
  cells: packExtents([{ segment: 1, offset: 4096, length: 700 }]), blocks: new Uint8Array(0), blockRoots: id('matrix'),
};
const boot = encodeEntry('BOOT', encodeBoot({ v: 1, nodeId: id('node'), epoch: 1, incarnation: 1 }));
const RECORDS: readonly NodeRecord[] = [
  { r: 'PREPARED', leaf: boot, manifest: signedManifestToWire(version), content, binds: id('matrix') },
  { r: 'COMMITTED', leaf: encodeEntry('COMMITTED', committedBodyOf(version)), cert: CERTIFICATES[0] ?? new Uint8Array(0), content: null, binds: id('matrix') },
  { r: 'BOOT', leaf: boot, configHash: id('config') },
  { r: 'HOLE', leaf: boot, contentId: id('matrix'), stripe: 0 },
  { r: 'MOVED', content },
  { r: 'FREED', contentId: id('matrix') },
  { r: 'REMEMBERED', slot: 1, incarnation: 2, proof: version.proof },
  { r: 'MARKS', sizes: [1, 2, 3] },
];

function acceptsRecord(input: Uint8Array): boolean {
  const record = decodeRecord(input);
  // Records are written canonically; what else is read must at least mean the same when it is written again.
  const again = encodeRecord(record);
  sameBytes(encodeRecord(decodeRecord(again)), again);
  if ('content' in record && record.content !== null) pointersOf(record.content.cells);
  return true;
}

const names = new Names();
function packed(write: (out: PackedWriter) => void): Uint8Array {
  const out = new PackedWriter();
  write(out);
  return out.done();
}
const row = {
  hash: version.hash, keyId: version.manifest.keyId, bucketId: id('bucket'), stamp: stampAt(1), kind: 'DATA', gatewayId: id('gateway'), contentId: id('matrix'), bytes: 1000,
  preparedIndex: 3, preparedIncarnation: 1, committedIndex: -1, at: { segment: 1, offset: 4096, length: 500 }, binds: id('matrix'), durable: Promise.resolve(),
  slot: { prev: id('version before'), stageId: id('stage').subarray(0, 16), removes: [stampAt(1)], lockMode: 'GOVERNANCE', legalHold: true, retainUntil: 5, attributes: null },
} as const;
const versionRow = packed((out) => writeVersion(out, names, row));
const stampRow = packed((out) => writeStamp(out, names, stampAt(2)));
const contentRow = packed((out) => writeContent(out, content));
const keyRow = packed((out) => {
  out.bytes(row.keyId);
  out.u32(1);
  writeVersion(out, names, row);
  out.u32(0);
  out.u32(1);
  writeStamp(out, names, stampAt(3));
  out.u32(0);
});

/** One input is read as each kind of row; the rows that are whole are written again to the same bytes. */
function acceptsRows(input: Uint8Array): boolean {
  const all = names.all();
  const context = { names: all, hasSlots: true };
  const tryRow = (read: (reader: PackedReader) => void, again: () => Uint8Array): boolean => {
    const reader = new PackedReader(input);
    try {
      read(reader);
    } catch (error) {
      if (isOperationError(error, 'CORRUPT')) return false;
      throw error;
    }
    if (reader.isDone) again();
    return reader.isDone;
  };
  let stamp = stampAt(1);
  let read: Parameters<typeof writeVersion>[2] = row;
  let held = content;
  return [
    tryRow((reader) => (stamp = readStamp(reader, all)), () => packed((out) => writeStamp(out, names, stamp))),
    tryRow((reader) => (read = readVersion(reader, context, row.keyId)), () => packed((out) => writeVersion(out, names, read))),
    tryRow((reader) => (held = readContent(reader)), () => packed((out) => writeContent(out, held))),
  ].some((whole) => whole);
}

/** A whole snapshot as one array of its chunks. */
const SNAPSHOT = [
  { c: 'HEAD', v: 1, incarnation: 1, configHash: id('config'), marks: [1, 2, 3, 4], logSize: 2 },
  { c: 'NAMES', names: names.all() },
  { c: 'LEAVES', hashes: new Uint8Array(64), roots: new Uint8Array(0), places: packExtents([{ segment: 1, offset: 4096, length: 60 }, { segment: 1, offset: 4200, length: 60 }]) },
  { c: 'CONTENTS', rows: contentRow },
  { c: 'KEYS', rows: keyRow },
  { c: 'PEERS', remembered: [{ slot: 1, incarnation: 2, proof: version.proof }], highest: new Uint8Array(0) },
  { c: 'HOLES', items: [new Uint8Array(34)] },
].map((chunk) => encode(chunk));

function acceptsChunk(input: Uint8Array): boolean {
  thaw(new NodeState(new MerkleLog(), clock), [SNAPSHOT[1] ?? input, input]);
  return true;
}

const stored = { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'AAAAAA==' };
const INDEX_ROWS = [
  encodeRow({ bucketId: id('bucket'), stamp: stampAt(1), manifestHash: version.hash, kind: 'DATA', holders: 7, settled: true, latest: stampAt(1), floor: stampAt(1), places: [utf8('place')] }),
  encodeRow({ keyId: id('key'), size: 5, etag: 'e', mtimeMs: 1, checksum: stored, owner: null }),
  encodeRow({ keyId: id('key'), size: 5, etag: 'e', mtimeMs: 1, checksum: stored, owner: 'account', stamp: stampAt(1), manifestHash: version.hash, kept: 'ENABLED', isMarker: false }),
  encodeRow({ mtimeMs: 1, owner: null, checksum: null }),
  encodeRow({ keyId: id('key'), size: 5, etag: 'e', mtimeMs: 1, checksum: null, contentId: id('c'), n: 4, k: 2, cellBytes: 1024, salt: JOURNAL_ID }),
  encodeRow({ stamp: stampAt(1), clear: utf8('clear'), encMeta: utf8('sealed') }),
  encodeRow({ fingerprint: id('f'), atMs: 1, keyId: id('key'), etag: 'e', checksum: null, uploadId: new Uint8Array(0), versionId: 'null' }),
];

function acceptsIndexRow(input: Uint8Array): boolean {
  try {
    partNumberOf(input);
  } catch (error) {
    if (!isOperationError(error, 'CORRUPT')) throw error;
  }
  return Object.values(ROWS).some((schema) => {
    try {
      sameBytes(encodeRow(decodeRow<Parameters<typeof encodeRow>[0]>(schema as never, input)), input);
      return true;
    } catch (error) {
      if (isOperationError(error, 'CORRUPT')) return false;
      throw error;
    }
  });
}

const attempt = { opId: id('op'), bucketId: id('bucket'), keyId: id('key'), stamp: stampAt(1), manifestHash: version.hash };
const JOURNAL_RECORDS = [
  { r: 'FOLDER', number: 3, open: [{ attempt, beganMs: 5, isAbandoned: false }] },
  { r: 'RESULT', opId: id('op'), row: { fingerprint: id('f'), atMs: 1, keyId: id('key'), etag: 'e', checksum: null, uploadId: new Uint8Array(0) } },
  { r: 'BEGUN', attempt, beganMs: 5 },
  { r: 'ABANDONED', manifestHash: version.hash },
  { r: 'SETTLED', manifestHash: version.hash },
].map((record) => encode(record));

/** The journal of a gateway that holds the input as a record whose digest is right. */
async function acceptsGatewayJournal(input: Uint8Array): Promise<boolean> {
  const disk = new FaultyDisk();
  const ports = { disk, clock, telemetry: new CountingTelemetry(), journalId: JOURNAL_ID };
  const empty = await GatewayJournal.open(ports);
  await empty.begin(attempt);
  await empty.close();
  const folder = (await disk.list('attempts/a')).length > 0 ? 'attempts/a' : 'attempts/b';
  const folderId = sha256(JOURNAL_ID, utf8(folder)).subarray(0, 16);
  const log = await LogJournal.open(disk, folder, folderId, { segmentBytes: 1024 * 1024, onRecord: () => undefined });
  await log.append([input]);
  await log.close();
  const telemetry = new CountingTelemetry();
  const journal = await GatewayJournal.open({ ...ports, telemetry });
  await journal.begin(attempt);
  for (const open of journal.openAttempts()) journal.hasLater(open);
  await journal.close();
  return true;
}

const optional = { versionId: null, etag: 'e', size: 7, accountId: null, sourceAddress: '127.0.0.1' };
const event = { name: 's3:ObjectCreated:Put', bucket: 'box', key: 'a', timeMs: 5, requestId: 'R', ...optional };
const EVENT_RECORDS = [
  { r: 'FOLDER', number: 3, next: 8 },
  { r: 'QUEUED', id: 7, webhook: 'hook', configurationId: 'rule', bucketOwner: 'owner', sequencer: '01', event },
  { r: 'DONE', id: 7 },
].map((record) => encode(record));

/** The queue of events that holds the input as a record whose digest is right. */
async function acceptsEventJournal(input: Uint8Array): Promise<boolean> {
  const disk = new FaultyDisk();
  const ports = { disk, telemetry: new CountingTelemetry(), journalId: JOURNAL_ID };
  await (await EventJournal.open(ports)).close();
  const folder = (await disk.list('events/a')).length > 0 ? 'events/a' : 'events/b';
  const folderId = sha256(JOURNAL_ID, utf8(folder)).subarray(0, 16);
  const log = await LogJournal.open(disk, folder, folderId, { segmentBytes: 1024 * 1024, onRecord: () => undefined });
  await log.append([input]);
  await log.close();
  const queue = await EventJournal.open(ports);
  const waiting = queue.waiting.map(({ id }) => id);
  for (const id of waiting) queue.done(id);
  holds(queue.waiting.length === 0, 'what waits can be told');
  await queue.close();
  return waiting.length > 0;
}

export const diskTargets: readonly Target[] = [
  decoder({ name: 'segment', covers: ['src/journal/segment.ts readHeader', 'src/journal/segment.ts readRecord'], format: bytesForm, seeds: () => [segmentSeed()], accepts: acceptsSegment, refuses: operationErrors('LOST_STATE') }),
  decoder({ name: 'log-file', covers: [], format: bytesForm, seeds: () => [recordsOf(logFile.bytes)], accepts: acceptsLogFile, refuses: operationErrors('LOST_STATE', 'CORRUPT'), inputs: 150 }),
  decoder({ name: 'cell-file', covers: [], format: bytesForm, seeds: () => [recordsOf(cellFile.bytes)], accepts: acceptsCellFile, refuses: operationErrors('LOST_STATE', 'CORRUPT'), inputs: 150 }),
  decoder({ name: 'snapshot-file', covers: [], format: bytesForm, seeds: () => [snapshotFile.bytes], accepts: acceptsSnapshotFile, refuses: operationErrors('LOST_STATE'), inputs: 150 }),
  decoder({ name: 'node-record', covers: ['src/storage-node/records.ts decodeRecord', 'src/protocol/encoding.ts decodeOwn'], format: { form: 'cbor' }, seeds: () => RECORDS.map(encodeRecord), accepts: acceptsRecord, refuses: operationErrors('LOST_STATE') }),
  decoder({
    name: 'snapshot-rows',
    covers: ['readStamp', 'readVersion', 'readContent'].map((name) => `src/storage-node/snapshot-rows.ts ${name}`).concat('src/storage-node/packed.ts PackedReader'),
    format: bytesForm, seeds: () => [stampRow, versionRow, contentRow], accepts: acceptsRows,
  }),
  decoder({ name: 'snapshot-chunk', covers: ['src/storage-node/snapshot.ts thaw'], format: { form: 'cbor' }, seeds: () => SNAPSHOT, accepts: acceptsChunk, refuses: operationErrors('CORRUPT') }),
  decoder({ name: 'index-row', covers: ['src/gateway/index/rows.ts decodeRow'], format: { form: 'cbor' }, seeds: () => INDEX_ROWS, accepts: acceptsIndexRow }),
  decoder({ name: 'event-journal', covers: [], format: { form: 'cbor' }, seeds: () => [EVENT_RECORDS[1] ?? new Uint8Array(0)], accepts: acceptsEventJournal, inputs: 100 }),
  decoder({ name: 'gateway-journal', covers: [], format: { form: 'cbor' }, seeds: () => JOURNAL_RECORDS, accepts: acceptsGatewayJournal, inputs: 100 }),
];
