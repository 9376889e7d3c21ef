/** Decoders of text that members sign, of sealed values and of files that an operator may touch; addresses and frames. */
import path from 'node:path';
import { concat, equal, fromHex, fromUtf8, hex, utf8 } from '../../../src/base/bytes.ts';
import { signingKeyFromSeed, verifySignature } from '../../../src/crypto/primitives.ts';
import { readJson } from '../../../src/cli/folder-json.ts';
import { CONFIG_FILE, readAdmin, readControllerIdentity, readGatewayIdentity, readNodeIdentity } from '../../../src/cli/identity-folder.ts';
import { parseChildMessage } from '../../../src/cli/child-messages.ts';
import { readEndpoint } from '../../../src/cli/endpoint-file.ts';
import { readWebhooks, WEBHOOKS_FILE } from '../../../src/cli/webhook-file.ts';
import { readAccessRegister, readKeyUse, REGISTER_FILE, USE_FILE } from '../../../src/cli/access-folder.ts';
import { readAccessKeys, readRootSecret } from '../../../src/cli/gateway-folder.ts';
import { readJoinRequest, writeJoinRequest } from '../../../src/cli/join-request.ts';
import { openAuthority } from '../../../src/cli/repair-authority.ts';
import { encode } from '../../../src/protocol/encoding.ts';
import { encodeRepairAuthority } from '../../../src/protocol/repair-authority.ts';
import { signBatch, statementLeaf } from '../../../src/protocol/statement.ts';
import { parseObjectAddress, requireKey } from '../../../src/cli/object-address.ts';
import { boundCluster } from '../../../src/cli/bound-cluster.ts';
import { BucketKeys } from '../../../src/keyring/bucket-keys.ts';
import { createAccessKey, encodeAccessKeys } from '../../../src/keyring/access-keys.ts';
import { encodeAccessRegister, newRegisteredKey } from '../../../src/keyring/access-register.ts';
import { decodeMeta, encodeMeta } from '../../../src/keyring/metadata.ts';
import type { StoredHeaders, VersionMeta } from '../../../src/keyring/metadata.ts';
import { OwnerKeys } from '../../../src/keyring/owner-keys.ts';
import { open, pad, seal, unpad } from '../../../src/keyring/sealing.ts';
import { fromBase64, toBase64 } from '../../../src/log/base64.ts';
import { logOrigin, openCheckpoint, parseCheckpoint, formatCheckpoint, signCheckpoint } from '../../../src/log/checkpoint.ts';
import { ed25519Signer, ed25519Verifier, formatNote, openNote, parseNote } from '../../../src/log/signed-note.ts';
import { LogTail } from '../../../src/log/tail.ts';
import { Frontier } from '../../../src/merkle/tree.ts';
import { formatAddress, parseAddress } from '../../../src/platform/address.ts';
import { encodeFrame, failureReason, FrameParser, PREFACE } from '../../../src/platform/frames.ts';
import type { WireFrame } from '../../../src/platform/frames.ts';
import { FaultyDisk } from '../../../src/sim/faulty-disk.ts';
import { seededKey } from '../../../src/sim/members.ts';
import { SeededRandom } from '../../../src/sim/seeded-random.ts';
import { z } from 'zod';
import { decoder, holds, operationErrors, sameBytes } from '../decoder.ts';
import type { Target } from '../engine.ts';
import { CLUSTER, id } from '../valid.ts';

const random = (name: string): SeededRandom => new SeededRandom(name);
/** Text that a caller hands over: what is no UTF-8 arrives with replacement characters. */
const textOf = (input: Uint8Array): string => Buffer.from(input).toString('utf8');

const key = seededKey('node 0');
const origin = logOrigin(CLUSTER.id, id('node'));
const frontier = new Frontier();
for (const leaf of ['a', 'b', 'c']) frontier.append(id(leaf));
const checkpoint = signCheckpoint({ origin, size: 3, root: frontier.root(), nonce: id('nonce').subarray(0, 16) }, ed25519Signer(origin, key));
const verifier = ed25519Verifier(origin, key.publicKey, verifySignature);
const tail = new LogTail(origin);
tail.accept(['a', 'b', 'c'].map(id), checkpoint);
const signatureLine = checkpoint.note.slice(checkpoint.note.indexOf('\u2014'));
const noteWords = ['\u2014 ', 'nonce ', origin, '\n\n', '\n', 'AAAA', '=', '03\n', '3e0\n', '+3\n', signatureLine];

function acceptsNote(input: Uint8Array): boolean {
  const text = textOf(input);
  const parsed = parseNote(text);
  if (parsed.ok) holds(formatNote(parsed.note) === text, 'an accepted note formats back to itself');
  const keysOf = parsed.ok ? parsed.note.signatures.map(({ name, keyId }) => `${name} ${keyId}`) : [];
  holds(new Set(keysOf).size === keysOf.length, 'a key signs once');
  const opened = openNote(text, [verifier]);
  if (opened.ok) holds(equal(utf8(opened.text), utf8(formatCheckpoint(checkpoint.checkpoint))), 'only what was signed opens');
  return parsed.ok;
}

function acceptsCheckpoint(input: Uint8Array): boolean {
  const text = textOf(input);
  const parsed = parseCheckpoint(text);
  if (parsed.ok) holds(formatCheckpoint(parsed.checkpoint) === text, 'an accepted checkpoint formats back to itself');
  openCheckpoint(text, verifier, id('nonce').subarray(0, 16));
  return parsed.ok;
}

const keys = new OwnerKeys(id('root secret'));
const bucketKeys = new BucketKeys(id('bucket'), 1, keys.firstSecrets(id('bucket'), 1));
const headers: StoredHeaders = { contentType: 'text/plain', cacheControl: null, contentDisposition: null, contentEncoding: null, contentLanguage: null, expires: null, websiteRedirect: null, sse: 'AES256', user: [['colour', 'bl\u00fc']] };
const PART = { v: 1, t: 'part', uploadId: id('u').subarray(0, 16), number: 2, etag: 'e', mtimeMs: 5, checksum: null, salt: id('s').subarray(0, 16), operation: null } as const;
const SEALED = { owner: 'account', attributes: { tags: [['a', 'b']], accessControl: '{}', retention: { mode: 'GOVERNANCE', untilMs: 5 }, legalHold: true }, customer: { md5: 'm', check: id('c') } } as const;
const STAMP = { gen: 1, counter: 2, writerId: id('w').subarray(0, 16) };
const METAS: readonly VersionMeta[] = [
  PART,
  { ...SEALED, kept: 'ENABLED', partList: null, partListBytes: 0, v: 2, t: 'object', name: 'a name/\u00e9', etag: 'e', mtimeMs: 5, headers, checksum: { algorithm: 'CRC32', type: 'FULL_OBJECT', value: 'AAAAAA==' }, parts: 0, operation: id('op') },
  { ...SEALED, v: 2, t: 'upload', uploadId: id('u').subarray(0, 16), name: 'name', mtimeMs: 5, headers, checksum: null, uploadKey: id('k'), operation: null },
  { v: 2, t: 'tombstone', of: { t: 'object', name: 'gone' }, mtimeMs: 5, operation: null, owner: null, kept: 'SUSPENDED' },
  { v: 2, t: 'remove', of: { t: 'object', name: 'gone' }, latest: { stamp: STAMP, hash: id('h') }, isMarker: true, mtimeMs: 5, operation: null },
  { v: 1, t: 'attributes', keyId: id('key'), stamp: STAMP, attributes: SEALED.attributes, mtimeMs: 5, operation: null },
  { v: 1, t: 'documents', mtimeMs: 5, operation: null },
];

function acceptsMeta(input: Uint8Array): boolean {
  const decoded = decodeMeta(input);
  if (!decoded.ok) return false;
  const { value } = decoded;
  // What the first release wrote reads as what is written now.
  const again = encodeMeta(value);
  const reread = decodeMeta(again);
  holds(reread.ok && equal(encodeMeta(reread.value), again), 'accepted metadata is written and read as the same');
  // Whoever lists an object shows its time.
  holds(!Number.isNaN(new Date(value.mtimeMs).getTime()), 'an accepted time is a time');
  return true;
}

const sealed = bucketKeys.sealMeta(random('meta'), id('key'), id('data key'), PART);
const wrapped = bucketKeys.wrap(random('wrap'), id('key'), id('data key'));
const bucketSeal = keys.sealBucket(random('bucket'), id('bucket'), 1, { v: 2, owner: null, defaultRetention: null, name: 'bucket', createdMs: 1, secrets: keys.firstSecrets(id('bucket'), 1) });

/** Sealed bytes are tried wherever sealed bytes are opened. Nothing but what was sealed opens. */
function acceptsSealed(input: Uint8Array): boolean {
  const place = { bucketId: id('bucket'), keyId: id('key') };
  const asMeta = bucketKeys.openVersion({ ...place, kind: 'DATA', wrappedKey: wrapped, encMeta: input });
  const asKey = bucketKeys.openVersion({ ...place, kind: 'DATA', wrappedKey: input, encMeta: sealed });
  const asTombstone = bucketKeys.openVersion({ ...place, kind: 'TOMBSTONE', wrappedKey: input, encMeta: input });
  const asBucket = keys.openBucket(id('bucket'), 1, input);
  const plain = open(id('key'), id('place'), input);
  const opened = [asMeta, asKey, asTombstone, asBucket, plain].some((value) => value !== null);
  holds(!opened || [sealed, wrapped, bucketSeal, simpleSeal].some((known) => equal(known, input)), 'only what was sealed opens');
  return opened;
}
const simpleSeal = seal(random('seal'), id('key'), id('place'), utf8('plain'));

const registeredAccount = { id: 'ab'.repeat(32), displayName: 'Ann', email: 'ann@example.com', quotaBytes: 5 };
const registeredTerms = { accountId: 'ab'.repeat(32), expiresMs: 9, policy: '{}', requestsPerSecond: 1, bytesPerSecond: 2 };
const accessRegister = encodeAccessRegister({
  accounts: [registeredAccount],
  accessKeys: [newRegisteredKey(random('key 3'), 3, registeredTerms)],
  bucketQuotas: [{ bucket: 'box', quotaBytes: 7 }],
});
const webhooksFile = utf8(`${JSON.stringify({ v: 1, webhooks: [{ name: 'hook', url: 'https://receiver.example/events', secret: 'a secret of sixteen' }] }, null, 2)}\n`);
const keyUse = utf8(JSON.stringify({ v: 1, keys: [{ accessKeyId: 'A', lastUsedMs: 1, requests: 2, bytesIn: 3, bytesOut: 4 }] }));
const accessKeys = encodeAccessKeys([createAccessKey(random('key 1'), 1), createAccessKey(random('key 2'), 2)]);

const nodeIdentity = utf8(JSON.stringify({ v: 1, role: 'node', signingSeed: 'ab'.repeat(32), tlsSeed: 'cd'.repeat(32), address: '127.0.0.1:7000', domain: 'a' }));
const gatewayIdentity = utf8(JSON.stringify({ v: 1, role: 'gateway', signingSeed: 'ab'.repeat(32), tlsSeed: 'cd'.repeat(32) }));
const controllerIdentity = utf8(JSON.stringify({ v: 1, role: 'controller', signingSeed: 'ab'.repeat(32), tlsSeed: 'cd'.repeat(32) }));
const adminFile = utf8(JSON.stringify({ v: 1, adminSeed: 'ab'.repeat(32), freshnessSeed: 'cd'.repeat(32) }));
const ownerFile = utf8(JSON.stringify({ v: 1, rootSecret: 'ab'.repeat(32) }));
const endpointFile = utf8(
  JSON.stringify({
    v: 1, endpoint: 'http://127.0.0.1:9000', region: 'us-east-1', accessKeyId: 'A', secretAccessKey: 'B', pid: 5, gateway: { pid: null, folder: 'gateway' },
    nodes: [{ id: 'a', slot: 0, pid: 7, folder: 'node-0', address: '127.0.0.1:7000', state: 'serving' }],
  }),
);

/** Each reader of a file of a folder is given the input as that file. */
function folderFile(name: string, covers: readonly string[], file: string, seeds: readonly Uint8Array[], read: (disk: FaultyDisk) => Promise<unknown>, refuses: (error: unknown) => boolean, form: 'json' | 'cbor' = 'json'): Target {
  return decoder({
    name, covers, format: { form }, seeds: () => seeds, refuses, inputs: 250,
    accepts: async (input) => {
      const disk = new FaultyDisk();
      if (file.includes('/')) await disk.makeFolder(path.posix.dirname(file));
      await disk.writeFile(file, input);
      await read(disk);
      return true;
    },
  });
}

const i = 'src/cli/identity-folder.ts';
const damaged = operationErrors('CORRUPT', 'TOO_LARGE');
const anything = z.unknown();
const authorityKey = signingKeyFromSeed(fromHex('ab'.repeat(32)));
const authorityBody = encodeRepairAuthority({ v: 1, controllerId: id('controller'), epoch: 1, notAfterMs: 5 });
const authorityProof = signBatch(authorityKey, id('cluster'), [statementLeaf('repair-authority', id('cluster'), authorityBody)])[0];
const authorityDocument = { v: 1, authority: hex(encode({ body: authorityBody, proof: authorityProof })) };

/** The value of a JSON text; undefined: it is none. */
function jsonOf(input: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(input));
  } catch {
    return undefined;
  }
}

const join = await joinSeed();

/** A join request, made from an identity folder as `node init` makes it. */
async function joinSeed(): Promise<Uint8Array> {
  const disk = new FaultyDisk();
  await disk.writeFile('identity.json', nodeIdentity);
  return utf8(writeJoinRequest(await readNodeIdentity(disk)));
}

const frames = concat(
  PREFACE,
  encodeFrame('request', 1, { body: utf8('a body'), payload: utf8('payload') }),
  encodeFrame('response', 2, { body: utf8('b'), payload: new Uint8Array(0) }),
  encodeFrame('notice', 0, { body: utf8('notice'), payload: new Uint8Array(0) }),
  encodeFrame('error', 3, { body: Uint8Array.of(2), payload: new Uint8Array(0) }),
);

function acceptsJoin(input: Uint8Array): boolean {
  const request = readJoinRequest(textOf(input), 'a file');
  const { publicKey } = signingKeyFromSeed(fromHex('ab'.repeat(32)));
  holds(equal(request.signingKey, publicKey) && request.role === 'node' && request.address === '127.0.0.1:7000', 'only what was signed is accepted');
  return true;
}

interface Parsed {
  readonly frames: readonly WireFrame[];
  readonly fault: string | null;
}

function parseFrames(chunks: readonly Uint8Array[]): Parsed {
  const parser = new FrameParser(['request', 'response', 'notice', 'error']);
  const found: WireFrame[] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    for (let step = parser.next(); step.step !== 'more'; step = parser.next()) {
      if (step.step === 'fault') return { frames: found, fault: step.fault };
      if (step.step === 'frame') found.push(step.frame);
    }
  }
  return { frames: found, fault: null };
}

/** However the bytes arrive, they mean the same; and what was read is written back to the bytes that it came from. */
function acceptsFrames(input: Uint8Array): boolean {
  const whole = parseFrames([input]);
  const step = 1 + ((input[0] ?? 0) + input.length) % 23;
  const pieces = Array.from({ length: Math.ceil(input.length / step) }, (_, at) => input.subarray(at * step, at * step + step));
  const piecewise = parseFrames(pieces);
  holds(whole.fault === piecewise.fault && whole.frames.length === piecewise.frames.length, 'however the bytes arrive, they mean the same');
  const again = concat(PREFACE, ...whole.frames.map((frame) => encodeFrame(frame.kind, frame.id, frame)));
  if (whole.frames.length > 0) holds(equal(again, input.subarray(0, again.length)), 'frames are what was sent');
  for (const frame of whole.frames) if (frame.kind === 'error') failureReason(frame);
  return whole.frames.length > 0;
}

function acceptsAddress(input: Uint8Array): boolean {
  const address = parseAddress(textOf(input));
  holds(address.port <= 65_535 && address.host !== '', 'an address has a host and a port');
  const again = parseAddress(formatAddress(address));
  holds(again.host === address.host && again.port === address.port, 'an address is read back as it is written');
  return true;
}

export const textTargets: readonly Target[] = [
  decoder({ name: 'note', covers: ['src/log/signed-note.ts parseNote', 'src/log/signed-note.ts openNote'], format: { form: 'text', words: noteWords }, seeds: () => [utf8(checkpoint.note)], lends: () => [utf8(`${checkpoint.note}${signatureLine}`)], accepts: acceptsNote }),
  decoder({ name: 'checkpoint', covers: ['src/log/checkpoint.ts parseCheckpoint', 'src/log/checkpoint.ts openCheckpoint'], format: { form: 'text', words: noteWords }, seeds: () => [utf8(formatCheckpoint(checkpoint.checkpoint)), utf8(formatCheckpoint({ ...checkpoint.checkpoint, nonce: null }))], lends: () => ['03', '+3', '3e0', '0x3', ''].map((size) => utf8(formatCheckpoint(checkpoint.checkpoint).replace('\n3\n', `\n${size}\n`))), accepts: acceptsCheckpoint }),
  decoder({
    name: 'log-base64', covers: [], format: { form: 'text', words: ['=', '==', 'AAAA', '/', '+'] }, seeds: () => [utf8('AAECAw=='), utf8(toBase64(id('x')))],
    accepts: (input) => {
      const bytes = fromBase64(textOf(input));
      if (bytes !== null) holds(toBase64(bytes) === textOf(input), 'one text per byte string');
      return bytes !== null;
    },
  }),
  decoder({
    name: 'log-tail', covers: [], format: { form: 'bytes' }, seeds: () => [tail.serialise(), frontier.serialise()],
    accepts: (input) => {
      const read = LogTail.parse(input, verifier);
      if (read !== null) sameBytes(read.serialise(), input);
      const peaks = Frontier.parse(input);
      if (peaks !== null) sameBytes(peaks.serialise(), input);
      return read !== null || peaks !== null;
    },
  }),
  decoder({ name: 'metadata', covers: ['src/keyring/metadata.ts decodeMeta'], format: { form: 'cbor' }, seeds: () => METAS.map(encodeMeta), accepts: acceptsMeta, inputs: 800 }),
  decoder({ name: 'sealed', covers: ['src/keyring/sealing.ts open'], format: { form: 'bytes' }, seeds: () => [sealed, wrapped, bucketSeal, simpleSeal], accepts: acceptsSealed }),
  decoder({
    name: 'padding', covers: ['src/keyring/sealing.ts unpad'], format: { form: 'bytes' }, seeds: () => [pad(utf8('some metadata')), pad(new Uint8Array(200))],
    accepts: (input) => {
      const plain = unpad(input);
      if (plain !== null) sameBytes(pad(plain), input);
      return plain !== null;
    },
  }),
  folderFile('identity-file', [`${i} readNodeIdentity`, `${i} readGatewayIdentity`, `${i} readControllerIdentity`, 'src/cli/folder-json.ts readJson', 'src/cli/folder-json.ts parseJson'], 'identity.json', [nodeIdentity, gatewayIdentity, controllerIdentity], async (disk) => {
    const role = (await readJson(disk, 'identity.json', anything, 'NOT_FOUND')) as { role?: unknown } | null;
    if (role?.role === 'controller') await readControllerIdentity(disk);
    else await (role?.role === 'gateway' ? readGatewayIdentity(disk) : readNodeIdentity(disk));
  }, damaged),
  decoder({
    name: 'authority-file', covers: ['src/cli/repair-authority.ts openAuthority'], format: { form: 'json' }, seeds: () => [utf8(JSON.stringify(authorityDocument))], refuses: operationErrors('BAD_CONFIG'),
    accepts: (input) => {
      const document = jsonOf(input);
      const { body, proof } = openAuthority(document, 'a file');
      const { authority } = document as { authority: string };
      holds(hex(encode({ body, proof })) === authority, 'an authority is read back as it is written');
      return true;
    },
  }),
  folderFile('admin-file', [`${i} readAdmin`], 'admin.json', [adminFile], readAdmin, damaged),
  folderFile('owner-file', ['src/cli/gateway-folder.ts readRootSecret'], 'owner.json', [ownerFile], readRootSecret, damaged),
  folderFile('access-keys-file', ['src/cli/gateway-folder.ts readAccessKeys'], 'access-keys.json', [accessKeys], readAccessKeys, damaged),
  folderFile('access-register', ['src/cli/access-folder.ts readAccessRegister'], REGISTER_FILE, [accessRegister], readAccessRegister, damaged),
  folderFile('webhooks-file', ['src/cli/webhook-file.ts readWebhooks'], WEBHOOKS_FILE, [webhooksFile], readWebhooks, operationErrors('CORRUPT', 'NOT_FOUND', 'LOST_STATE', 'BAD_ARGUMENT')),
  folderFile('key-use-file', ['src/cli/access-folder.ts readKeyUse'], USE_FILE, [keyUse], readKeyUse, damaged),
  folderFile('endpoint-file', ['src/cli/endpoint-file.ts readEndpoint'], 'endpoint.json', [endpointFile], async (disk) => {
    const { endpoint } = await readEndpoint(disk, 'the folder');
    // What commands do with it next.
    new URL(endpoint);
  }, damaged),
  folderFile('config-file', ['src/cli/root-configuration.ts openConfiguration'], CONFIG_FILE, [CLUSTER.document], boundCluster, operationErrors('BAD_CONFIG', 'TOO_LARGE'), 'cbor'),
  decoder({ name: 'join-request', covers: ['src/cli/join-request.ts readJoinRequest'], format: { form: 'json' }, seeds: () => [join], accepts: acceptsJoin, refuses: operationErrors('BAD_CONFIG'), inputs: 250 }),
  decoder({
    name: 'child-message', covers: ['src/cli/child-messages.ts parseChildMessage'], format: { form: 'json' },
    seeds: () => [{ type: 'serving' }, { type: 'listening', address: '127.0.0.1:1' }, { type: 'failed', code: 'CORRUPT', message: 'm', remedy: 'r' }].map((message) => utf8(JSON.stringify(message))),
    accepts: (input) => {
      let value: unknown;
      try {
        value = JSON.parse(fromUtf8(input));
      } catch {
        value = textOf(input);
      }
      return parseChildMessage(value) !== null;
    },
  }),
  decoder({
    name: 'object-address', covers: ['src/cli/object-address.ts parseObjectAddress'], format: { form: 'text', words: ['s3://', '/', 'bucket'] }, seeds: () => ['bucket/key', 's3://bucket/a/b', 's3://bucket/k'].map(utf8),
    accepts: (input) => {
      const address = requireKey(textOf(input));
      holds(parseObjectAddress(`${address.bucket}/${address.key}`).key === address.key || address.bucket === 's3:', 'an address is read back as it is written');
      return true;
    },
    refuses: operationErrors('BAD_ARGUMENT'),
  }),
  decoder({ name: 'address', covers: ['src/platform/address.ts parseAddress'], format: { form: 'text', words: [':', '[::1]', '65535', '0'] }, seeds: () => ['127.0.0.1:7000', '[::1]:443', 'host.example:65535'].map(utf8), accepts: acceptsAddress, refuses: operationErrors('BAD_ARGUMENT') }),
  decoder({ name: 'frames', covers: ['src/platform/frames.ts FrameParser'], format: { form: 'bytes' }, seeds: () => [frames], accepts: acceptsFrames, inputs: 800 }),
];
