import { describe, expect, it } from 'vitest';
import { hex, utf8 } from '../base/bytes.ts';
import type { Telemetry } from '../base/ports.ts';
import type { Attempt } from '../client/attempts.ts';
import { sha256 } from '../crypto/primitives.ts';
import { SystemClock } from '../platform/clock.ts';
import { FaultyDisk } from '../sim/faulty-disk.ts';
import { GatewayJournal } from './gateway-journal.ts';

const telemetry: Telemetry = { count: () => undefined, event: () => undefined };
const clock = new SystemClock();

function open(disk: FaultyDisk): Promise<GatewayJournal> {
  return GatewayJournal.open({ disk, clock, telemetry, journalId: new Uint8Array(16), rotateRecords: 6 });
}

function attempt(name: string): Attempt {
  const hash = (what: string): Uint8Array => Uint8Array.from(sha256(utf8(`${what} ${name}`)));
  const stamp = { gen: 1, counter: 1, writerId: new Uint8Array(16) };
  return {
    opId: hash('op'),
    bucketId: hash('bucket'),
    keyId: hash('key'),
    stamp,
    manifestHash: hash('manifest'),
  };
}

/** What the journal was told, as far as it answered. */
class Account {
  readonly begun = new Set<string>();
  readonly abandoned = new Set<string>();
  readonly touched = new Set<string>();
  readonly settledAsked = new Set<string>();

  /** Writes of every kind of end, several at once; returns when power is lost or all is done. */
  async work(disk: FaultyDisk, life: number): Promise<void> {
    const isOver = async (): Promise<void> => {
      while (!disk.isOff) await clock.sleep(1);
    };
    const run = async (): Promise<void> => {
      const journal = await open(disk);
      for (let i = 0; i < 5; i += 1) {
        await Promise.all([0, 1, 2].map((kind) => this.#one(journal, `${life} ${i} ${kind}`, kind)));
      }
      await journal.close();
    };
    await Promise.race([
      run().catch((error: unknown) => {
        if (!disk.isOff) throw error;
      }),
      isOver(),
    ]);
  }

  async #one(journal: GatewayJournal, name: string, kind: number): Promise<void> {
    const made = attempt(name);
    const id = hex(made.manifestHash);
    this.touched.add(id);
    await journal.begin(made);
    this.begun.add(id);
    if (kind === 1) {
      await journal.abandoned(made);
      this.abandoned.add(id);
    } else if (kind === 2) {
      this.settledAsked.add(id);
      await journal.settled(made);
    }
  }

  check(journal: GatewayJournal): void {
    const open = new Map(journal.openAttempts().map((o) => [hex(o.attempt.manifestHash), o]));
    for (const id of this.begun) if (!this.settledAsked.has(id)) expect(open.has(id)).toBe(true);
    for (const id of this.abandoned) expect(open.get(id)?.isAbandoned).toBe(true);
    for (const id of open.keys()) expect(this.touched.has(id)).toBe(true);
  }
}

describe('the gateway journal on a disk that fails', () => {
  it('knows after a loss of power at any step every write that it said was begun', async () => {
    const whole = new FaultyDisk();
    await new Account().work(whole, 0);
    for (let step = 1; step <= whole.steps; step += 1) {
      let disk = new FaultyDisk({ seed: step });
      const account = new Account();
      disk.losePowerAt(step);
      await account.work(disk, 0);
      disk = disk.powerCycle();
      const recovered = await open(disk);
      account.check(recovered);
      // What was recovered is as durable as before, also when power goes again during or after the recovery.
      disk = disk.powerCycle();
      disk.losePowerAt(disk.steps + (step % 9) + 1);
      await account.work(disk, 1);
      disk = disk.powerCycle();
      account.check(await open(disk));
    }
  });

  it('takes writes again when a full disk has room again', async () => {
    const disk = new FaultyDisk();
    const journal = await open(disk);
    await journal.begin(attempt('before'));
    disk.failWhen((step) => (step === 'write' || step === 'preallocate' ? 'DISK_FULL' : null));
    for (let i = 0; i < 5; i += 1) {
      await expect(journal.begin(attempt(`during ${i}`))).rejects.toMatchObject({ code: 'DISK_FULL' });
    }
    disk.failWhen(() => null);
    // The first may still meet the journal that failed; it makes a new one.
    await journal.begin(attempt('first after')).catch(() => undefined);
    await journal.begin(attempt('after'));
    await journal.close();
    const next = await open(disk.powerCycle());
    const names = next.openAttempts().map((o) => hex(o.attempt.manifestHash));
    expect(names).toContain(hex(attempt('before').manifestHash));
    expect(names).toContain(hex(attempt('after').manifestHash));
    expect(names).not.toContain(hex(attempt('during 2').manifestHash));
  });
});
