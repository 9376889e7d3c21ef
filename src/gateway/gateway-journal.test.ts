import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import type { Telemetry } from '../base/ports.ts';
import type { Attempt } from '../client/attempts.ts';
import { sha256 } from '../crypto/primitives.ts';
import { SystemClock } from '../platform/clock.ts';
import { NodeDisk } from '../platform/disk.ts';
import { GatewayJournal } from './gateway-journal.ts';

const folders: string[] = [];
const events: string[] = [];
const telemetry: Telemetry = { count: () => undefined, event: (_level, name) => void events.push(name) };

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-journal-'));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

function open(folder: string, rotateRecords?: number): Promise<GatewayJournal> {
  const ports = {
    disk: new NodeDisk(folder),
    clock: new SystemClock(),
    telemetry,
    journalId: new Uint8Array(16),
  };
  return GatewayJournal.open(rotateRecords === undefined ? ports : { ...ports, rotateRecords });
}

function attempt(name: string, operation: string = name): Attempt {
  const hash = (what: string): Uint8Array => Uint8Array.from(sha256(utf8(`${what} ${name}`)));
  return {
    opId: Uint8Array.from(sha256(utf8(operation))),
    bucketId: hash('bucket'),
    keyId: hash('key'),
    stamp: { gen: 1, counter: 7, writerId: new Uint8Array(16) },
    manifestHash: hash('manifest'),
  };
}

const openNames = (journal: GatewayJournal) =>
  journal.openAttempts().map(({ attempt: { manifestHash }, isAbandoned, isInherited }) => ({
    manifestHash: [...manifestHash],
    isAbandoned,
    isInherited,
  }));

const opened = (name: string, isAbandoned: boolean, isInherited: boolean) => ({
  manifestHash: [...attempt(name).manifestHash],
  isAbandoned,
  isInherited,
});

describe('the gateway journal', () => {
  it('remembers over restarts what was begun and abandoned, and forgets what was settled', async () => {
    const folder = await newFolder();
    const first = await open(folder);
    for (const name of ['a', 'b', 'c']) await first.begin(attempt(name));
    await first.abandoned(attempt('b'));
    await first.settled(attempt('a'));
    expect(openNames(first)).toEqual([opened('b', true, false), opened('c', false, false)]);
    await first.close();
    for (let start = 0; start < 3; start += 1) {
      const next = await open(folder);
      expect(openNames(next)).toEqual([opened('b', true, true), opened('c', false, true)]);
      await next.close();
    }
  });

  it('finds what was begun although the process ended without a word', async () => {
    const folder = await newFolder();
    const first = await open(folder);
    await first.begin(attempt('a'));
    const second = await open(folder);
    expect(openNames(second)).toEqual([opened('a', false, true)]);
    await first.close();
    await second.close();
  });

  it('stays small however many writes there are, and loses no open attempt when it moves', async () => {
    const folder = await newFolder();
    const journal = await open(folder, 10);
    await journal.begin(attempt('early'));
    await journal.begin(attempt('given up'));
    await journal.abandoned(attempt('given up'));
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        await journal.begin(attempt(`write ${i}`));
        await journal.settled(attempt(`write ${i}`));
      }),
    );
    await journal.close();
    const segments = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.seg'));
    expect(segments.length).toBe(1);
    const next = await open(folder);
    expect(openNames(next)).toEqual([opened('early', false, true), opened('given up', true, true)]);
    await next.close();
  });

  it('knows the last attempt of an operation', async () => {
    const journal = await open(await newFolder());
    await journal.begin(attempt('first', 'operation'));
    await journal.begin(attempt('second', 'operation'));
    await journal.begin(attempt('other'));
    expect(journal.openAttempts().map((a) => journal.hasLater(a))).toEqual([true, false, false]);
    await journal.close();
  });

  it('goes on without a damaged journal, and says so', async () => {
    const folder = await newFolder();
    const first = await open(folder);
    await first.begin(attempt('a'));
    await first.close();
    const segment = (await readdir(folder, { recursive: true })).find((name) => name.endsWith('.seg'));
    const path = join(folder, segment ?? '');
    const bytes = await readFile(path);
    // Inside the first record, which others follow.
    await writeFile(path, bytes.with(110, (bytes[110] ?? 0) ^ 1));
    events.length = 0;
    const second = await open(folder);
    expect(second.openAttempts()).toEqual([]);
    expect(events).toContain('journal damaged');
    await second.begin(attempt('b'));
    await second.close();
    const third = await open(folder);
    expect(openNames(third)).toEqual([opened('b', false, true)]);
    await third.close();
  });
});
