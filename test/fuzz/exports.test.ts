/**
 * No decoder is forgotten: whatever src/ exports under a decoder's name has a fuzzing target, or stands below
 * with the reason why its input is not bytes from outside.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { targets } from './targets.ts';

const DECODER_NAME = /^export (?:async )?(?:function\*?|const|class) ((?:decode|parse|read|open|unpad|thaw|authenticate)\w*|\w*(?:Parser|Decoder|Reader|Verifier))\b/;
const STATIC_PARSE = /^ {2}static (?:parse|decode)\(/;

/** Exports whose names look like a decoder's, with what they are. */
const NO_DECODERS: Readonly<Record<string, string>> = {
  'src/cli/bound-cluster.ts readDocument': 'reads a file; config-file decodes what is in it',
  'src/cli/cluster-folder.ts openOrCreateCluster': 'a folder; its files have targets',
  'src/cli/cluster-folder.ts openUpFolder': 'a folder; its files have targets',
  'src/cli/verify-objects.ts ObjectVerifier': 'asks nodes through decodeAnswer; target client-answers',
  'src/cli/web-certificate.ts readCertificate': 'reads PEM files, which TLS decodes',
  'src/cli/given-file.ts readGivenFile': 'reads a file; config-file and join-request decode what is in it',
  'src/cli/join-request.ts readJoinRequestFile': 'reads a file; join-request decodes what is in it',
  'src/cli/bucket-commands.ts readRoot': 'reads a file; bucket-root decodes what is in it',
  'src/gateway/history/history-reader.ts HistoryReader': 'leaves of logs and certificates; targets log-committed, certificate and metadata',
  'src/client/query.ts openShown': 'opens through decodeCertificate; target client-answers',
  'src/client/read.ts read': 'the operation; target client-answers',
  'src/client/stripe-code.ts openStripe': 'cells that were verified against their row; target client-answers',
  'src/control/inventory/rows.ts openVersion': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/rows.ts openPart': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/rows.ts openMissing': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/rows.ts openStage': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/rows.ts openBits': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/rows.ts readU48': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/rows.ts openHoleState': 'a row of the inventory, which the controller wrote',
  'src/control/inventory/log-reader.ts LogReader': 'takes leaves in through decodeEntry and the decoders of their bodies; targets log-*',
  'src/gateway/index/rows.ts openEndedKey': 'a key of a row of the index, which the gateway wrote',
  'src/gateway/s3/listing/list.ts readPage': 'a listing of the store',
  'src/gateway/s3/listing/list-uploads.ts readUploadsPage': 'a listing of the store',
  'src/gateway/s3/versions/stored-version.ts readVersion': 'a version of the store',
  'src/gateway/s3/listing/list-versions.ts readVersionPage': 'a listing of the store',
  'src/gateway/store/attributes.ts AttributesReader': 'asks nodes through decodeAttributes and the keys of the bucket; targets attributes and metadata',
  'src/gateway/store/documents.ts readBucket': 'a bucket of the registry and its documents, which open with its keys',
  'src/gateway/store/uploads.ts openUpload': 'an upload of the index, opened with the keys of its bucket; target metadata',
  'src/gateway/store/versions.ts openVersion': 'a manifest, opened with the keys of its bucket; target metadata',
  'src/gateway/store/open-bucket.ts openBucket': 'a bucket of the registry',
  'src/gateway/store/open-bucket.ts readableBucket': 'a bucket of the registry',
  'src/gateway/store/listing.ts openListing': 'a listing of the index',
  'src/gateway/store/uploads.ts readUpload': 'an upload of the index',
  'src/log/signed-note.ts ed25519Verifier': 'a key; targets note and checkpoint verify with one',
  'src/platform/level-store.ts openLevelStore': 'a LevelDB folder',
  'src/storage-node/accept-certificate.ts openCertificate': 'opens through decodeCertificate; target node',
  'src/storage-node/read-content.ts readBlob': 'a content by its place; target cell-file',
  'src/storage-node/read-content.ts readCell': 'a content by its place; target cell-file',
};

/** Static parsers of classes, with the target that exercises them. */
const STATIC_PARSERS: Readonly<Record<string, string>> = {
  'src/log/tail.ts': 'log-tail',
  'src/merkle/tree.ts': 'log-tail',
};

function sourceFiles(): string[] {
  return fs
    .readdirSync('src', { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join('src', name.split(path.sep).join('/')))
    .filter((name) => name.endsWith('.ts') && !/\.(?:test|contract)\.ts$/.test(name) && !name.startsWith('src/sim/'))
    .sort();
}

function decodersIn(file: string, text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const name = DECODER_NAME.exec(line)?.[1];
    return name === undefined ? [] : [`${file} ${name}`];
  });
}

const covered = new Set(targets.flatMap(({ covers }) => covers));
const found = sourceFiles().flatMap((file) => decodersIn(file, fs.readFileSync(file, 'utf8')));

describe('every exported decoder', () => {
  it('has a fuzzing target, or a reason to need none', () => {
    expect(found.length).toBeGreaterThan(50);
    expect(found.filter((name) => !covered.has(name) && !Object.hasOwn(NO_DECODERS, name))).toEqual([]);
  });

  it('is still there: no target and no reason names what is gone', () => {
    expect([...covered, ...Object.keys(NO_DECODERS)].filter((name) => !found.includes(name))).toEqual([]);
  });

  it('that is a static method has a target, too', () => {
    const files = sourceFiles().filter((file) => fs.readFileSync(file, 'utf8').split('\n').some((line) => STATIC_PARSE.test(line)));
    expect(files).toEqual(Object.keys(STATIC_PARSERS));
    expect(targets.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.values(STATIC_PARSERS)));
  });

  it('is seen by the check: a planted one is', () => {
    expect(decodersIn('src/x.ts', 'export async function decodeNew(bytes: Uint8Array) {')).toEqual(['src/x.ts decodeNew']);
    expect(decodersIn('src/x.ts', 'export const parseNew = (text: string) => text;\nexport class NewParser {')).toEqual(['src/x.ts parseNew', 'src/x.ts NewParser']);
  });
});

describe('targets', () => {
  it('have names of their own', () => {
    expect(new Set(targets.map(({ name }) => name)).size).toBe(targets.length);
  });
});
