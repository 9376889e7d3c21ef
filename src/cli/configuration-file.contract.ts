/**
 * What every reader of a configuration document keeps (protocol 9, R17): one that the administrator signed and
 * that breaks no rule is taken; anything else is refused as BAD_CONFIG with the rule or the field at fault,
 * and what to do, and nothing on the disk changes, so that the next start finds what the last one had.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { SigningKey } from '../crypto/primitives.ts';
import { CONFIG_BYTES_MAX, configStatement, sealConfiguration } from '../protocol/configuration.ts';
import type { Cluster, Configuration } from '../protocol/configuration.ts';
import { encode } from '../protocol/encoding.ts';
import { makeCluster, makeNodeKeys, makeWriters, seededKey } from '../sim/members.ts';

export interface ConfigurationReader {
  /** Lets the program read these bytes as its configuration. */
  readonly read: (document: Uint8Array) => Promise<Cluster>;
  /** All that lies in its folder, but for the bytes it was given to read. */
  readonly folder: () => Promise<readonly string[]>;
}

const ADMIN = seededKey('admin');
const CLUSTER = makeCluster(makeNodeKeys(4), makeWriters(1), {});
const CONFIG = CLUSTER.config;
type Fields = Record<string, unknown>;

/** The document of a body with these fields changed, signed anew. */
function signed(change: Fields, by: readonly SigningKey[] = [ADMIN]): Uint8Array {
  const body = encode({ ...CONFIG, ...change });
  const statement = configStatement(CONFIG.clusterId, body);
  return sealConfiguration(body, by.map((key) => ({ admin: key.publicKey, signature: key.sign(statement) })));
}

function slot(index: number, change: Fields): Fields {
  return { slots: CONFIG.slots.map((one, i) => (i === index ? { ...one, ...change } : one)) };
}

const stranger = seededKey('stranger');
const second = CONFIG.slots[1] as Configuration['slots'][number];

/** Signed by the administrator, and yet not acceptable. */
const WRONG: readonly (readonly [string, Fields, RegExp])[] = [
  ['of a later version', { v: 2 }, /\bv\b/],
  ['of a later version with fields that nobody knows', { v: 2, quorumPolicy: 'weighted' }, /\bv\b/],
  ['that demands a later protocol', { protocolMin: 2 }, /protocol 2 is unknown to this version/],
  ['that demands a later suite', { suiteMin: 2 }, /suite 2 is unknown to this version/],
  ['with a field that nobody knows', { comment: 'mine' }, /comment/],
  ['of a later epoch, whose chain is not there', { epoch: 2 }, /epoch 1/],
  ['that names a predecessor', { prevHash: CONFIG.clusterId }, /epoch 1/],
  ['in a phase that nobody knows', { phase: 'JOINT' }, /phase/],
  ['with f above what its slots bear', { f: 2 }, /3f\+1/],
  ['without faults', { f: 0 }, /f >= 1/],
  ['with k above n-2f', { k: 3 }, /k <= n-2f/],
  ['with k of f', { k: 1 }, /k >= f\+1/],
  ['with numbers that are texts', { f: '1' }, /\bf\b/],
  ['with a negative number', { uncertifiedBytesMax: -1 }, /uncertifiedBytesMax/],
  ['with a broken number', { notBefore: 0.5 }, /notBefore|CBOR|canonical/],
  ['with a number that cannot be counted to', { retentionMaxMs: 2 ** 60 }, /retentionMaxMs|CBOR|canonical/],
  ['with slots out of order', { slots: CONFIG.slots.toReversed() }, /slots must be listed in order/],
  ['without slots', { slots: [] }, /slots/],
  ['with two slots of one trust domain', slot(0, { domain: second.domain }), /one trust domain/],
  ['with one key for two slots', slot(0, { signingKey: second.signingKey }), /one key serves two purposes/],
  ['with one key for signing and TLS', slot(0, { tlsKey: CONFIG.slots[0]?.signingKey }), /one key serves two purposes/],
  ['with one identity for two slots', slot(0, { nodeId: second.nodeId }), /one identity/],
  ['with a key of small order', slot(0, { signingKey: new Uint8Array(32).with(0, 1) }), /unsafe public key/],
  ['with an address that is none', slot(0, { addresses: ['10.0.0.1'] }), /slots\.0\.addresses/],
  ['without an address', slot(0, { addresses: [] }), /slots\.0\.addresses/],
  ['with a capability that nobody knows', { writers: [{ ...CONFIG.writers[0], capabilities: ['rule'] }] }, /writers\.0\.capabilities/],
  ['with more signatures needed than there are admins', { m: 2 }, /m = 2 exceeds/],
  ['in which a minority of admins decides', { admins: [ADMIN.publicKey, stranger.publicKey], m: 1 }, /2m > admins fails/],
  ['without signatures needed', { m: 0 }, /\bm\b/],
  ['deeply nested', { slots: nested(2_000) }, /./],
];

function nested(depth: number): unknown {
  let value: unknown = [];
  for (let i = 0; i < depth; i += 1) value = [value];
  return value;
}

export function configurationFileContract(label: string, make: () => Promise<ConfigurationReader>): void {
  describe(`a configuration that ${label}`, () => {
    it('is taken when the administrator signed it and it breaks no rule', async () => {
      const reader = await make();
      expect(hex((await reader.read(CLUSTER.document)).hash)).toBe(hex(CLUSTER.hash));
    });

    it('is taken whenever the clock says that it begins: no clock decides who is a member', async () => {
      for (const notBefore of [0, Date.now() + 86_400_000, Number.MAX_SAFE_INTEGER]) {
        const reader = await make();
        expect((await reader.read(signed({ notBefore }))).config.notBefore).toBe(notBefore);
      }
    });

    it.each(WRONG)('is refused when it is one %s', async (_what, change, says) => {
      const reader = await make();
      expect(await refused(reader, signed(change))).toMatch(says);
    });

    it('is refused unless enough of its admins signed it', async () => {
      const reader = await make();
      const needed = /valid admin signatures/;
      expect(await refused(reader, signed({}, []))).toMatch(needed);
      expect(await refused(reader, signed({}, [stranger]))).toMatch(needed);
      const two = { admins: [ADMIN.publicKey, stranger.publicKey, seededKey('third').publicKey], m: 2 };
      expect(await refused(reader, signed(two, [ADMIN, ADMIN]))).toMatch(needed);
      expect((await reader.read(signed(two, [ADMIN, stranger]))).config.m).toBe(2);
    });

    it('is refused when it is empty, something else, too large or goes on behind its end', async () => {
      const reader = await make();
      const { document } = CLUSTER;
      const others = [new Uint8Array(0), encode(null), encode({}), encode(CONFIG), new Uint8Array(document.length), Uint8Array.of(...document, 0)];
      for (const bytes of others) await refused(reader, bytes);
      expect(await refused(reader, new Uint8Array(CONFIG_BYTES_MAX + 1))).toMatch(/large|bytes/);
    });

    it('is refused when any bit of it flips, or when it is cut anywhere', async () => {
      const reader = await make();
      const { document } = CLUSTER;
      await fc.assert(
        fc.asyncProperty(fc.nat({ max: document.length - 1 }), fc.nat({ max: 7 }), async (at, bit) => {
          await refused(reader, document.with(at, (document[at] ?? 0) ^ (1 << bit)));
          await refused(reader, document.slice(0, at));
        }),
        { numRuns: 60 },
      );
    });
  });
}

/** The message of the refusal, after all that every refusal keeps. */
async function refused(reader: ConfigurationReader, document: Uint8Array): Promise<string> {
  const before = await reader.folder();
  const outcome: unknown = await reader.read(document).then(
    () => 'taken',
    (error: unknown) => error,
  );
  if (!(outcome instanceof OperationError)) throw new Error(`not refused with an OperationError: ${String(outcome)}`);
  expect(outcome.code).toBe('BAD_CONFIG');
  expect(outcome.remedy ?? '').not.toBe('');
  expect(outcome.message).toContain('cfg');
  expect(outcome.message.length).toBeLessThan(1_000);
  expect(await reader.folder()).toEqual(before);
  return outcome.message;
}
