/**
 * What every ObjectStore must do, told once: the store in memory over which the front is tested, and the real
 * one over storage nodes, both run these cases. Where they differ, a test of the front shows nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concat, utf8 } from '../../../base/bytes.ts';
import { sealOf } from './memory-content.contract.ts';
import type { ObjectStore } from './object-store.ts';
import type { Versioning } from './buckets.ts';
import type { CustomerKey, IncomingContent, OperationId } from './content.ts';
import type { VersionRow } from './listing.ts';
import type { CopyObject, DeleteObject, ObjectAttributes, ObjectMetadata, PutObject, Stored } from './objects.ts';

const OWNER = 'a'.repeat(64);
const EMPTY = new Uint8Array(0);
const PLAIN: ObjectAttributes = { tags: [], accessControl: undefined, retention: undefined, legalHold: false };
const HEADERS: ObjectMetadata = {
  contentType: 'text/plain',
  cacheControl: undefined,
  contentDisposition: undefined,
  contentEncoding: undefined,
  contentLanguage: undefined,
  expires: undefined,
  websiteRedirect: '/there',
  sse: 'AES256',
  user: [['colour', 'blue']],
};
const HOUR_MS = 3_600_000;

let drawn = 0;
function operation(): OperationId {
  drawn += 1;
  const id = new Uint8Array(32).fill(7);
  new DataView(id.buffer).setUint32(0, drawn);
  return { id, repeatable: false };
}

function incoming(text: string | Uint8Array): IncomingContent {
  const bytes = typeof text === 'string' ? utf8(text) : text;
  async function* pieces(): AsyncGenerator<Uint8Array, void> {
    if (bytes.length > 0) yield await Promise.resolve(bytes);
  }
  return { size: bytes.length, bytes: pieces(), seal: () => sealOf(bytes, undefined) };
}

const etagOf = (text: string): string => sealOf(utf8(text), undefined).etag;

/** One bucket of one store, and what is asked of it most. */
class Subject {
  readonly store: ObjectStore;
  readonly bucket: string;

  constructor(store: ObjectStore, bucket: string) {
    this.store = store;
    this.bucket = bucket;
  }

  async version(versioning: Versioning): Promise<this> {
    if (versioning === 'never') return this;
    const change = { kind: 'versioning', versioning } as const;
    expect(await this.store.changeBucket({ bucket: this.bucket, change, operation: operation() })).toEqual({ outcome: 'changed' });
    return this;
  }

  ask(key: string, text: string | Uint8Array, more: Partial<PutObject> = {}) {
    const fixed = { bucket: this.bucket, key, owner: OWNER, metadata: HEADERS, attributes: PLAIN };
    const rest = { customerKey: undefined, condition: undefined, operation: operation(), content: incoming(text) };
    return this.store.putObject({ ...fixed, ...rest, ...more });
  }

  async put(key: string, text: string | Uint8Array, more: Partial<PutObject> = {}): Promise<Stored> {
    const result = await this.ask(key, text, more);
    if (result.outcome !== 'stored') throw new Error(result.outcome);
    return result;
  }

  /** The text of a version, or the outcome. */
  async get(key: string, versionId?: string, customerKey?: CustomerKey): Promise<string> {
    const found = await this.store.getObject({ bucket: this.bucket, key, versionId, customerKey, range: undefined });
    if (found.outcome !== 'found') return found.outcome;
    const pieces: Uint8Array[] = [];
    for await (const piece of found.read({ from: 0, to: found.info.size })) pieces.push(piece.slice());
    found.close();
    return new TextDecoder().decode(concat(...pieces));
  }

  async head(key: string, versionId?: string) {
    const found = await this.store.headObject({ bucket: this.bucket, key, versionId });
    return found.outcome === 'found' ? found.info : found.outcome;
  }

  remove(key: string, more: Partial<DeleteObject> = {}) {
    const fixed = { bucket: this.bucket, key, versionId: undefined, owner: OWNER, condition: undefined };
    return this.store.deleteObject({ ...fixed, bypassGovernance: false, operation: operation(), ...more });
  }

  copy(from: string, to: string, text: string, more: Partial<CopyObject> = {}) {
    const source = { bucket: this.bucket, key: from, versionId: undefined };
    const fixed = { bucket: this.bucket, key: to, owner: OWNER, source, sourceEtag: etagOf(text), checksum: undefined };
    const keys = { customerKey: undefined, sourceCustomerKey: undefined, condition: undefined, metadata: undefined };
    return this.store.copyObject({ ...fixed, ...keys, attributes: { ...PLAIN, tags: undefined }, operation: operation(), ...more });
  }

  change(key: string, change: Parameters<ObjectStore['changeAttributes']>[0]['change'], versionId?: string) {
    return this.store.changeAttributes({ bucket: this.bucket, key, versionId, change, operation: operation() });
  }

  async versions(from: Uint8Array = EMPTY, after?: string, limit: number = 1000): Promise<readonly VersionRow[]> {
    const listing = await this.store.openListing(this.bucket);
    if (listing.outcome !== 'listing') throw new Error(listing.outcome);
    return listing.versions(from, after, undefined, limit);
  }

  /** Keys of LIST, then key, what it is and whether it is the latest of each version. */
  async shown(): Promise<readonly [readonly string[], readonly string[]]> {
    const listing = await this.store.openListing(this.bucket);
    if (listing.outcome !== 'listing') throw new Error(listing.outcome);
    const keys = (await listing.rows(EMPTY, undefined, 1000)).map(({ key }) => key);
    const rows = await this.versions();
    return [keys, rows.map(({ key, etag, isDeleteMarker, isLatest }) => `${key} ${isDeleteMarker ? 'marker' : etag.slice(0, 4)}${isLatest ? ' latest' : ''}`)];
  }
}

export interface ContractOptions {
  readonly name: string;
  readonly open: () => Promise<{ readonly store: ObjectStore; readonly close: () => Promise<void> }>;
}

/** Registers the cases of the contract for one store. */
export function objectStoreContract({ name, open }: ContractOptions): void {
  describe(`${name} as an object store`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    let made = 0;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.close());

    async function bucketOf(options: { readonly lockEnabled?: boolean; readonly serialised?: boolean } = {}): Promise<Subject> {
      made += 1;
      const bucket = `contract-${made}`;
      const request = { bucket, owner: OWNER, lockEnabled: false, serialised: true, documents: {}, operation: operation() };
      expect(await opened.store.createBucket({ ...request, ...options })).toEqual({ outcome: 'created' });
      return new Subject(opened.store, bucket);
    }

    describe('buckets', () => {
      it('belong to who made them, and carry documents', async () => {
        const { store, bucket } = await bucketOf();
        const again = { bucket, lockEnabled: false, serialised: true, documents: {} };
        expect(await store.createBucket({ ...again, owner: OWNER, operation: operation() })).toEqual({ outcome: 'owned-by-you' });
        expect(await store.createBucket({ ...again, owner: 'b', operation: operation() })).toEqual({ outcome: 'taken' });
        for (const [document, text] of [['cors', 'one'], ['policy', 'two'], ['cors', undefined]] as const) {
          expect(await store.configureBucket({ bucket, document, text, operation: operation() })).toEqual({ outcome: 'changed' });
        }
        expect(await store.readBucket(bucket)).toMatchObject({
          outcome: 'found',
          bucket: { owner: OWNER, versioning: 'never', lockEnabled: false, serialised: true, documents: { policy: 'two' } },
        });
        const large = { bucket, document: 'tagging', text: 'x'.repeat(1024 * 1024 + 1), operation: operation() } as const;
        expect(await store.configureBucket(large)).toEqual({ outcome: 'too-large' });
        const nowhere = { bucket: 'no-such-bucket', document: 'cors', text: 'a', operation: operation() } as const;
        expect(await store.configureBucket(nowhere)).toEqual({ outcome: 'no-such-bucket' });
      });

      it('lose no document when all are changed at once', async () => {
        const { store, bucket } = await bucketOf();
        const names = ['cors', 'policy', 'tagging', 'website'] as const;
        await Promise.all(names.map((document) => store.configureBucket({ bucket, document, text: document, operation: operation() })));
        const read = await store.readBucket(bucket);
        expect(read.outcome === 'found' && Object.keys(read.bucket.documents).sort()).toEqual([...names].sort());
      });

      it('are not empty while a delete marker is there', async () => {
        const subject = await (await bucketOf()).version('enabled');
        const marker = await subject.remove('a');
        expect(marker).toMatchObject({ outcome: 'deleted', isDeleteMarker: true });
        const { store, bucket } = subject;
        expect(await store.deleteBucket(bucket, operation())).toEqual({ outcome: 'not-empty' });
        const versionId = marker.outcome === 'deleted' ? marker.versionId : undefined;
        expect(await subject.remove('a', { versionId })).toEqual({ outcome: 'deleted', versionId, isDeleteMarker: true });
        expect(await store.deleteBucket(bucket, operation())).toEqual({ outcome: 'deleted' });
        expect(await store.readBucket(bucket)).toEqual({ outcome: 'no-such-bucket' });
      });

      it('take lock only where versions are kept, and keep versions then', async () => {
        const subject = await bucketOf();
        const { store, bucket } = subject;
        const lock = { kind: 'lock', defaultRetention: { mode: 'GOVERNANCE', period: { unit: 'days', count: 1 } } } as const;
        const ask = (change: Parameters<ObjectStore['changeBucket']>[0]['change']) => store.changeBucket({ bucket, change, operation: operation() });
        expect(await ask(lock)).toEqual({ outcome: 'not-allowed' });
        await subject.version('enabled');
        expect(await ask(lock)).toEqual({ outcome: 'changed' });
        expect(await ask({ kind: 'versioning', versioning: 'suspended' })).toEqual({ outcome: 'not-allowed' });
        expect(await store.readBucket(bucket)).toMatchObject({ bucket: { lockEnabled: true, defaultRetention: lock.defaultRetention } });
      });
    });

    describe.each([['serialised', true], ['PLAIN', false]] as const)('in a %s bucket that never kept versions', (_name, serialised) => {
      it('one version is there, without an id', async () => {
        const subject = await bucketOf({ serialised });
        expect(await subject.get('a')).toBe('no-such-key');
        expect((await subject.put('a', 'one')).versionId).toBeUndefined();
        await subject.put('a', 'two');
        expect(await subject.head('a')).toMatchObject({ owner: OWNER, metadata: HEADERS, versionId: undefined, partCount: 0, attributes: PLAIN });
        expect(await subject.get('a', 'null')).toBe('two');
        expect(await subject.get('a', 'nonsense')).toBe('no-such-version');
        expect(await subject.shown()).toEqual([['a'], [`a ${etagOf('two').slice(0, 4)} latest`]]);
        expect(await subject.remove('a')).toEqual({ outcome: 'deleted', versionId: undefined, isDeleteMarker: false });
        expect(await subject.remove('a')).toEqual({ outcome: 'deleted', versionId: undefined, isDeleteMarker: false });
        expect(await subject.get('a')).toBe('no-such-key');
        expect(await subject.shown()).toEqual([[], []]);
      });

      it('attributes change without a new version, and end with it', async () => {
        const subject = await bucketOf({ serialised });
        await subject.put('a', 'one', { attributes: { ...PLAIN, tags: [['x', '1']], accessControl: 'acl' } });
        expect(await subject.change('a', { kind: 'tags', tags: [['y', '2']] })).toEqual({ outcome: 'changed', versionId: undefined });
        expect(await subject.head('a')).toMatchObject({ attributes: { tags: [['y', '2']], accessControl: 'acl' } });
        expect(await subject.change('a', { kind: 'accessControl', accessControl: undefined })).toMatchObject({ outcome: 'changed' });
        expect(await subject.head('a')).toMatchObject({ etag: etagOf('one'), attributes: { tags: [['y', '2']], accessControl: undefined } });
        expect(await subject.change('a', { kind: 'legalHold', legalHold: true })).toEqual({ outcome: 'lock-disabled' });
        expect(await subject.change('b', { kind: 'tags', tags: [] })).toEqual({ outcome: 'no-such-key' });
        await subject.put('a', 'two');
        expect(await subject.head('a')).toMatchObject({ attributes: PLAIN });
      });

      it('content sealed with a customer key opens with that key alone', async () => {
        const subject = await bucketOf({ serialised });
        const key = { key: new Uint8Array(32).fill(1), md5: 'one' };
        for (const size of [5, 900_000]) {
          const text = 'x'.repeat(size);
          await subject.put('a', text, { customerKey: key });
          expect(await subject.get('a')).toBe('customer-key-needed');
          expect(await subject.get('a', undefined, { key: new Uint8Array(32).fill(2), md5: 'two' })).toBe('customer-key-wrong');
          expect(await subject.get('a', undefined, key)).toBe(text);
          expect(await subject.head('a')).toMatchObject({ customerKeyMd5: 'one', size });
          expect(await subject.copy('a', 'b', text)).toEqual({ outcome: 'customer-key-needed' });
          expect(await subject.copy('a', 'b', text, { sourceCustomerKey: key })).toMatchObject({ outcome: 'stored' });
          expect(await subject.get('b')).toBe(text);
          expect(await subject.copy('a', 'c', text, { sourceCustomerKey: key, customerKey: key })).toMatchObject({ outcome: 'stored' });
          expect(await subject.get('c', undefined, key)).toBe(text);
        }
      });

      it('copies have the content and what was asked for besides', async () => {
        const subject = await bucketOf({ serialised });
        for (const text of ['', 'small', 'y'.repeat(900_000)]) {
          await subject.put('a', text, { attributes: { ...PLAIN, tags: [['x', '1']] } });
          await subject.change('a', { kind: 'tags', tags: [['now', '2']] });
          expect(await subject.copy('a', 'b', text)).toMatchObject({ outcome: 'stored', etag: etagOf(text) });
          expect(await subject.head('b')).toMatchObject({ metadata: HEADERS, attributes: { tags: [['now', '2']] } });
          const metadata = { ...HEADERS, contentType: 'other' };
          expect(await subject.copy('a', 'a', text, { metadata, attributes: PLAIN })).toMatchObject({ outcome: 'stored' });
          expect(await subject.head('a')).toMatchObject({ metadata, attributes: { tags: [] } });
          expect([await subject.get('a'), await subject.get('b')]).toEqual([text, text]);
          await subject.remove('a');
          expect(await subject.get('b')).toBe(text);
        }
        expect(await subject.copy('a', 'b', 'small')).toEqual({ outcome: 'no-such-source' });
        expect(await subject.copy('b', 'c', 'not this')).toEqual({ outcome: 'source-changed' });
      });

      it('uploads are listed, and become objects whose parts are known', async () => {
        const subject = await bucketOf({ serialised });
        const { store, bucket } = subject;
        const create = async (key: string) => {
          const request = { bucket, key, owner: OWNER, metadata: HEADERS, attributes: { ...PLAIN, tags: [['x', '1']] as const } };
          const created = await store.createUpload({ ...request, customerKey: undefined, checksum: undefined, operation: operation() });
          if (created.outcome !== 'created') throw new Error(created.outcome);
          return { bucket, key, uploadId: created.uploadId };
        };
        const addresses = [await create('b'), await create('a'), await create('a')];
        const listing = await store.openListing(bucket);
        if (listing.outcome !== 'listing') throw new Error(listing.outcome);
        const all = await listing.uploads(EMPTY, undefined, undefined, 10);
        expect(all.map(({ key }) => key)).toEqual(['a', 'a', 'b']);
        const rest = await listing.uploads(utf8('a'), all[0]?.uploadId, undefined, 10);
        expect(rest.map(({ uploadId }) => uploadId)).toEqual(all.slice(1).map(({ uploadId }) => uploadId));
        const [address] = addresses;
        if (address === undefined) throw new Error('an upload was made');
        await subject.put('source', 'z'.repeat(10_000));
        for (const number of [3, 7]) {
          const part = { ...address, number, content: incoming(`part ${number} `), customerKey: undefined, operation: operation() };
          expect(await store.uploadPart(part)).toMatchObject({ outcome: 'stored' });
        }
        const source = { bucket, key: 'source', versionId: undefined };
        const copied = { ...address, number: 9, source, sourceEtag: etagOf('z'.repeat(10_000)), span: { from: 5, to: 8 } };
        const keys = { checksum: undefined, customerKey: undefined, sourceCustomerKey: undefined };
        expect(await store.copyPart({ ...copied, ...keys, operation: operation() })).toMatchObject({ outcome: 'stored', etag: etagOf('zzz') });
        const read = await store.readUpload(address);
        if (read.outcome !== 'found') throw new Error(read.outcome);
        const complete = { ...address, parts: read.parts, etag: 'whole-3', checksum: undefined, condition: undefined, operation: operation() };
        expect(await store.completeUpload(complete)).toMatchObject({ outcome: 'stored', etag: 'whole-3' });
        expect(await subject.get('b')).toBe('part 3 part 7 zzz');
        expect(await store.objectParts({ bucket, key: 'b', versionId: undefined })).toMatchObject({
          info: { partCount: 3, size: 17, owner: OWNER, attributes: { tags: [['x', '1']] } },
          parts: [{ number: 3, size: 7 }, { number: 7, size: 7 }, { number: 9, size: 3 }],
        });
        expect(await store.objectParts({ ...source })).toMatchObject({ parts: [] });
      });
    });

    it('a PLAIN bucket decides no conditions and keeps no versions', async () => {
      const subject = await bucketOf({ serialised: false });
      const change = { kind: 'versioning', versioning: 'enabled' } as const;
      expect(await subject.ask('a', 'one', { condition: { ifNoneMatch: '*' } })).toEqual({ outcome: 'condition-unsupported' });
      expect(await subject.remove('a', { condition: { ifMatch: '*' } })).toEqual({ outcome: 'condition-unsupported' });
      expect(await subject.store.changeBucket({ bucket: subject.bucket, change, operation: operation() })).toEqual({ outcome: 'not-allowed' });
    });

    describe.each(['never', 'enabled', 'suspended'] as const)('conditions where versioning is %s', (versioning) => {
      it('are decided on the newest version', async () => {
        const subject = await (await bucketOf()).version(versioning);
        const ask = async (text: string, condition: PutObject['condition']) => (await subject.ask('a', text, { condition })).outcome;
        expect(await ask('one', { ifMatch: '*' })).toBe('no-such-key');
        expect(await ask('one', { ifNoneMatch: '*' })).toBe('stored');
        expect(await ask('two', { ifNoneMatch: '*' })).toBe('condition-failed');
        expect(await ask('two', { ifNoneMatch: etagOf('one') })).toBe('condition-failed');
        expect(await ask('two', { ifMatch: etagOf('two') })).toBe('condition-failed');
        expect(await ask('two', { ifMatch: etagOf('one') })).toBe('stored');
        expect(await subject.remove('a', { condition: { ifMatch: etagOf('one') } })).toEqual({ outcome: 'condition-failed' });
        expect(await subject.remove('a', { condition: { ifSize: 2 } })).toEqual({ outcome: 'condition-failed' });
        expect(await subject.remove('a', { condition: { ifMatch: etagOf('two'), ifSize: 3 } })).toMatchObject({ outcome: 'deleted' });
        expect(await ask('three', { ifMatch: '*' })).toBe('no-such-key');
        expect(await ask('three', { ifNoneMatch: '*' })).toBe('stored');
        expect(await subject.copy('a', 'a', 'three', { condition: { ifNoneMatch: '*' } })).toEqual({ outcome: 'condition-failed' });
      });
    });

    describe('where versions are kept', () => {
      it('each stays until it is removed by its id, and the one below shows again', async () => {
        const subject = await (await bucketOf()).version('enabled');
        const first = await subject.put('a', 'one');
        const second = await subject.put('a', 'two');
        const marker = await subject.remove('a');
        if (marker.outcome !== 'deleted') throw new Error(marker.outcome);
        expect(await subject.get('a')).toBe('delete-marker');
        expect(await subject.get('a', first.versionId)).toBe('one');
        expect(await subject.get('a', marker.versionId)).toBe('delete-marker');
        const [one, two] = [etagOf('one').slice(0, 4), etagOf('two').slice(0, 4)];
        expect(await subject.shown()).toEqual([[], ['a marker latest', `a ${two}`, `a ${one}`]]);
        expect(await subject.remove('a', { versionId: marker.versionId })).toMatchObject({ isDeleteMarker: true });
        expect(await subject.get('a')).toBe('two');
        expect(await subject.head('a')).toMatchObject({ versionId: second.versionId });
        expect(await subject.shown()).toEqual([['a'], [`a ${two} latest`, `a ${one}`]]);
        expect(await subject.remove('a', { versionId: first.versionId })).toMatchObject({ outcome: 'deleted', isDeleteMarker: false });
        expect(await subject.get('a', first.versionId)).toBe('no-such-version');
        expect(await subject.remove('a', { versionId: first.versionId })).toMatchObject({ outcome: 'deleted' });
        expect(await subject.remove('a', { versionId: second.versionId })).toMatchObject({ outcome: 'deleted' });
        expect(await subject.get('a')).toBe('no-such-key');
        expect(await subject.shown()).toEqual([[], []]);
        const third = await subject.put('a', 'three');
        expect(await subject.shown()).toEqual([['a'], [`a ${etagOf('three').slice(0, 4)} latest`]]);
        expect(await subject.get('a', third.versionId)).toBe('three');
      });

      it('what was there before is the null version, and suspension replaces it', async () => {
        const subject = await bucketOf();
        await subject.put('a', 'before');
        await subject.version('enabled');
        expect(await subject.head('a')).toMatchObject({ etag: etagOf('before') });
        const kept = await subject.put('a', 'kept');
        expect(await subject.get('a', 'null')).toBe('before');
        await subject.version('suspended');
        expect((await subject.put('a', 'null one')).versionId).toBe('null');
        expect(await subject.get('a', 'null')).toBe('null one');
        expect(await subject.get('a', kept.versionId)).toBe('kept');
        expect(await subject.remove('a')).toEqual({ outcome: 'deleted', versionId: 'null', isDeleteMarker: true });
        expect(await subject.get('a', 'null')).toBe('delete-marker');
        const rows = await subject.versions();
        expect(rows.map(({ versionId, isLatest }) => [versionId, isLatest])).toEqual([['null', true], [kept.versionId, false]]);
        expect(await subject.remove('a', { versionId: 'null' })).toEqual({ outcome: 'deleted', versionId: 'null', isDeleteMarker: true });
        expect(await subject.get('a')).toBe('kept');
      });

      it('are listed by key and age, in pages', async () => {
        const subject = await (await bucketOf()).version('enabled');
        for (const key of ['b', 'a\u0000', 'a', 'a/b', '\u{1f600}']) for (const text of ['1', '2', '3']) await subject.put(key, text);
        const all = await subject.versions();
        expect(all.map(({ key }) => key)).toEqual(['a', 'a\u0000', 'a/b', 'b', '\u{1f600}'].flatMap((key) => [key, key, key]));
        expect(all.map(({ etag }) => etag)).toEqual(Array.from({ length: 5 }, () => ['3', '2', '1'].map(etagOf)).flat());
        const paged: VersionRow[] = [];
        for (let last: VersionRow | undefined; ; last = paged.at(-1)) {
          const page = await subject.versions(utf8(last?.key ?? ''), last?.versionId, 2);
          paged.push(...page);
          if (page.length < 2) break;
        }
        expect(paged).toEqual(all);
      });

      it('attributes belong to one version', async () => {
        const subject = await (await bucketOf()).version('enabled');
        const first = await subject.put('a', 'one');
        const second = await subject.put('a', 'two');
        const tags = [['x', '1']] as const;
        expect(await subject.change('a', { kind: 'tags', tags }, first.versionId)).toEqual({ outcome: 'changed', versionId: first.versionId });
        expect(await subject.head('a', first.versionId)).toMatchObject({ attributes: { tags } });
        expect(await subject.head('a')).toMatchObject({ versionId: second.versionId, attributes: { tags: [] } });
        await subject.remove('a');
        expect(await subject.change('a', { kind: 'tags', tags })).toMatchObject({ outcome: 'delete-marker' });
        expect(await subject.change('a', { kind: 'tags', tags }, 'nonsense')).toEqual({ outcome: 'no-such-version' });
      });

      it('copies may be of an old version', async () => {
        const subject = await (await bucketOf()).version('enabled');
        const text = 'old '.repeat(50_000);
        const first = await subject.put('a', text);
        await subject.put('a', 'new');
        const source = { bucket: subject.bucket, key: 'a', versionId: first.versionId };
        const copied = await subject.copy('a', 'a', text, { source });
        expect(copied).toMatchObject({ outcome: 'stored', sourceVersionId: first.versionId });
        await subject.remove('a', { versionId: first.versionId });
        expect(await subject.get('a')).toBe(text);
      });
    });

    describe('object lock', () => {
      const until = (ms: number) => Date.now() + ms;

      it('keeps a version under retention or a hold', async () => {
        const subject = await bucketOf({ lockEnabled: true });
        const compliance = { mode: 'COMPLIANCE', untilMs: until(HOUR_MS) } as const;
        const held = await subject.put('a', 'one', { attributes: { ...PLAIN, retention: compliance } });
        const { versionId } = held;
        expect(await subject.head('a')).toMatchObject({ attributes: { retention: compliance } });
        for (const bypassGovernance of [false, true]) {
          expect(await subject.remove('a', { versionId, bypassGovernance })).toEqual({ outcome: 'locked' });
        }
        const shorter = { kind: 'retention', retention: { ...compliance, untilMs: until(1000) }, bypassGovernance: true } as const;
        expect(await subject.change('a', shorter)).toEqual({ outcome: 'locked' });
        const longer = { ...shorter, retention: { ...compliance, untilMs: until(2 * HOUR_MS) } };
        expect(await subject.change('a', longer)).toEqual({ outcome: 'changed', versionId });
        expect(await subject.remove('a')).toMatchObject({ outcome: 'deleted', isDeleteMarker: true });
        expect(await subject.get('a', versionId)).toBe('one');
      });

      it('changes the mode of a retention only for who may go against it', async () => {
        const subject = await bucketOf({ lockEnabled: true });
        const retention = { mode: 'GOVERNANCE', untilMs: until(HOUR_MS) } as const;
        const { versionId } = await subject.put('a', 'one', { attributes: { ...PLAIN, retention } });
        const change = { kind: 'retention', retention: { ...retention, mode: 'COMPLIANCE' } } as const;
        expect(await subject.change('a', { ...change, bypassGovernance: false })).toEqual({ outcome: 'locked' });
        expect(await subject.change('a', { ...change, bypassGovernance: true })).toEqual({ outcome: 'changed', versionId });
        expect(await subject.change('a', { kind: 'retention', retention, bypassGovernance: true })).toEqual({ outcome: 'locked' });
      });

      it('lets go of what was held once the hold ends', async () => {
        const subject = await bucketOf({ lockEnabled: true });
        const { versionId } = await subject.put('a', 'one');
        expect(await subject.change('a', { kind: 'legalHold', legalHold: true })).toEqual({ outcome: 'changed', versionId });
        expect(await subject.remove('a', { versionId })).toEqual({ outcome: 'locked' });
        expect(await subject.change('a', { kind: 'legalHold', legalHold: false })).toEqual({ outcome: 'changed', versionId });
        expect(await subject.remove('a', { versionId })).toMatchObject({ outcome: 'deleted' });
        expect(await subject.get('a')).toBe('no-such-key');
      });

      it('is asked for only where the bucket has it, and by default where it says so', async () => {
        const without = await bucketOf();
        expect(await without.ask('a', 'one', { attributes: { ...PLAIN, legalHold: true } })).toEqual({ outcome: 'lock-disabled' });
        const subject = await bucketOf({ lockEnabled: true });
        const { store, bucket } = subject;
        const defaultRetention = { mode: 'GOVERNANCE', period: { unit: 'days', count: 1 } } as const;
        await store.changeBucket({ bucket, change: { kind: 'lock', defaultRetention }, operation: operation() });
        const { versionId } = await subject.put('a', 'one');
        expect(await subject.head('a')).toMatchObject({ attributes: { retention: { mode: 'GOVERNANCE' } } });
        expect(await subject.remove('a', { versionId })).toEqual({ outcome: 'locked' });
        expect(await subject.copy('a', 'b', 'one')).toMatchObject({ outcome: 'stored' });
        expect(await subject.head('b')).toMatchObject({ attributes: { retention: { mode: 'GOVERNANCE' } } });
      });
    });
  });
}
