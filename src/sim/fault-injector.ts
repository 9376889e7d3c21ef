/** Carries out the faults of a scenario at their times, and takes back at the end whatever may still be wrong. */
import { assert } from '../base/assert.ts';
import { strategyOf } from './adversaries/strategies.ts';
import type { FaultyDisk } from './faulty-disk.ts';
import type { Fault, FaultKind, MessagePoint, StallPoint } from './faults.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimulatedCluster } from './simulated-cluster.ts';

/** How often a bad disk is photographed, so that it can be rolled back. */
const IMAGE_EVERY_MS = 100;
const IMAGES_MAX = 30;
const RELIVE_MS = 20;

export class FaultInjector {
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #images = new Map<number, { readonly atMs: number; readonly disk: FaultyDisk }[]>();
  readonly counts = new Map<FaultKind, number>();
  /** What ends a fault that lasts. */
  readonly #undo = new Set<() => void>();
  #isOver = false;

  constructor(cluster: SimulatedCluster, random: SeededRandom) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** From now on each fault comes in its time. */
  plan(faults: readonly Fault[]): void {
    for (const fault of faults) {
      this.#cluster.clock.after(fault.atMs, () => {
        if (this.#isOver) return;
        this.counts.set(fault.kind, (this.counts.get(fault.kind) ?? 0) + 1);
        this.#inject(fault);
      });
    }
    const isRolledBack = faults.some(({ kind }) => kind === 'roll-back');
    if (isRolledBack) for (const slot of this.#cluster.bad) this.#photograph(slot);
  }

  /** Ends all that lasts; no more faults come. Bad nodes go on lying. */
  heal(): void {
    this.#isOver = true;
    for (const undo of [...this.#undo]) undo();
    for (const name of this.#cluster.names) this.#cluster.distortClock(name, 0, 1);
  }

  #inject(fault: Fault): void {
    const cluster = this.#cluster;
    switch (fault.kind) {
      case 'crash':
        return cluster.crash(fault.process, fault.power, fault.forMs);
      case 'blackout':
        for (const name of fault.processes) cluster.crash(name, true, fault.forMs);
        return;
      case 'crash-at-step':
        return cluster.crashAtStep(fault.process, fault);
      case 'crash-at-message':
        return this.#crashAtMessage(fault);
      case 'stall-at-message':
        return this.#stallAtMessage(fault);
      case 'relive':
        return this.#relive(fault.slot, fault.forMs);
      case 'pause':
        cluster.pause(fault.process);
        return this.#endAfter(fault.forMs, () => cluster.resume(fault.process));
      case 'cut':
        return this.#cut([fault.a], [fault.b], fault.forMs);
      case 'isolate':
        return this.#cut([fault.process], cluster.names.filter((name) => name !== fault.process), fault.forMs);
      case 'drop':
      case 'hold':
        cluster.network[fault.kind](fault.from, fault.to);
        return this.#endAfter(fault.forMs, () => cluster.network.pass(fault.from, fault.to));
      case 'slow-links':
        cluster.slowLinks(fault.process, fault.byMs);
        return this.#endAfter(fault.forMs, () => cluster.slowLinks(fault.process, 0));
      case 'slow-disk':
        cluster.slowDisk(fault.process, fault.byMs);
        return this.#endAfter(fault.forMs, () => cluster.slowDisk(fault.process, 0));
      case 'late-requests':
        for (const name of fault.processes) cluster.delayRequests(name, fault.type, fault.byMs);
        return this.#endAfter(fault.forMs, () => {
          for (const name of fault.processes) cluster.delayRequests(name, fault.type, 0);
        });
      case 'clock':
        return cluster.distortClock(fault.process, fault.skewMs, fault.rate);
      case 'full-disk':
        cluster.limitDisk(fault.process, 0);
        return this.#endAfter(fault.forMs, () => cluster.limitDisk(fault.process, cluster.usualDiskBytes));
      case 'rot':
        return this.#rot(fault.slot, fault.bytes);
      case 'misdirect':
        return this.#misdirect(fault.slot, fault.bytes);
      case 'duplicates':
        cluster.duplicate(fault.process, true);
        return this.#endAfter(fault.forMs, () => cluster.duplicate(fault.process, false));
      case 'roll-back':
        return this.#rollBack(fault.slot, fault.backMs, fault.forMs);
      case 'lie': {
        const strategy = strategyOf(fault.strategy);
        assert(strategy !== undefined, 'the strategy exists');
        return cluster.corrupt(fault.slot, strategy(cluster, fault.slot));
      }
    }
  }

  #cut(some: readonly string[], others: readonly string[], forMs: number): void {
    const { network } = this.#cluster;
    const pairs = some.flatMap((a) => others.map((b) => [a, b] as const));
    for (const [a, b] of pairs) network.cut(a, b);
    this.#endAfter(forMs, () => {
      for (const [a, b] of pairs) network.heal(a, b);
    });
  }

  #endAfter(ms: number, undo: () => void): void {
    const once = (): void => {
      if (this.#undo.delete(once)) undo();
    };
    this.#undo.add(once);
    this.#cluster.clock.after(ms, once);
  }

  #crashAtMessage({ type, side, count, afterMs, processes, power, slowDiskMs, forMs }: MessagePoint): void {
    const cluster = this.#cluster;
    const haste = (): void => {
      for (const name of processes) cluster.slowDisk(name, 0);
    };
    for (const name of processes) cluster.slowDisk(name, slowDiskMs);
    this.#undo.add(haste);
    cluster.atMessage({ type, side, count }, () => {
      cluster.clock.after(afterMs, () => {
        if (!this.#undo.delete(haste)) return;
        haste();
        for (const name of processes) cluster.crash(name, power, forMs);
      });
    });
  }

  #stallAtMessage({ type, side, count, process, forMs }: StallPoint): void {
    const cluster = this.#cluster;
    cluster.atMessage({ type, side, count }, () => {
      if (this.#isOver) return;
      cluster.pause(process);
      this.#endAfter(forMs, () => cluster.resume(process));
    });
  }

  /** A bad node starts anew, and when it serves again its disk is put back to where that start began. */
  #relive(slot: number, forMs: number): void {
    const cluster = this.#cluster;
    const name = `node-${slot}`;
    if (cluster.node(slot)?.status().state !== 'SERVING') return;
    cluster.crash(name, false, RELIVE_MS);
    const image = cluster.diskOf(slot).clone();
    // So that it signs nothing in between that others could show.
    this.#cut([name], cluster.names.filter((other) => other.startsWith('gateway')), forMs);
    const again = (): void => {
      if (this.#isOver) return;
      if (cluster.node(slot)?.status().state === 'SERVING') cluster.rollBack(slot, image, RELIVE_MS);
      else cluster.clock.after(RELIVE_MS, again);
    };
    cluster.clock.after(RELIVE_MS, again);
  }

  /** Flips bits anywhere on the disk of a bad node. */
  #rot(slot: number, bytes: number): void {
    const disk = this.#cluster.diskOf(slot);
    const paths = disk.paths();
    for (let i = 0; i < bytes && paths.length > 0; i += 1) {
      const path = this.#random.pick(paths);
      const size = disk.sizeOf(path);
      if (size > 0) disk.flip(path, this.#random.below(size), 1 << this.#random.below(8));
    }
  }

  /** What was written to one place of a disk stands in another, over what was there. */
  #misdirect(slot: number, bytes: number): void {
    const disk = this.#cluster.diskOf(slot);
    const [from, to] = this.#random.shuffled(disk.paths().filter((path) => disk.sizeOf(path) > bytes));
    if (from === undefined || to === undefined) return;
    const place = (path: string): number => this.#random.below(disk.sizeOf(path) - bytes);
    disk.misdirect(from, place(from), to, place(to), bytes);
  }

  #rollBack(slot: number, backMs: number, forMs: number): void {
    const wanted = this.#cluster.clock.monotonicMs() - backMs;
    const image = this.#images.get(slot)?.findLast(({ atMs }) => atMs <= wanted);
    if (image !== undefined) this.#cluster.rollBack(slot, image.disk, forMs);
  }

  #photograph(slot: number): void {
    if (this.#isOver) return;
    const images = this.#images.get(slot) ?? [];
    images.push({ atMs: this.#cluster.clock.monotonicMs(), disk: this.#cluster.diskOf(slot).clone() });
    this.#images.set(slot, images.slice(-IMAGES_MAX));
    this.#cluster.clock.after(IMAGE_EVERY_MS, () => this.#photograph(slot));
  }
}
