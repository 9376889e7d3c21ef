/**
 * A disk in memory that fails as disks do (port: base/ports.ts). It keeps apart what is written and what is
 * durable: at a loss of power each unsynced sector and each unsynced change of a folder survives or not, by
 * the seed. It can lose power at any step, fail a step, fill up, be read-only, rot, and be put back to an
 * older image. A failed sync behaves as on Linux: what was not written passes for clean from then on.
 * Assumed, as the real journal assumes: a sector is written whole or not at all, and no others are harmed.
 */
import { assert } from '../base/assert.ts';
import type { ErrorCode } from '../base/errors.ts';
import { OperationError } from '../base/errors.ts';
import type { Disk, DiskFile, DiskSpace } from '../base/ports.ts';
import { FileImage } from './file-image.ts';
import { SeededBits } from './seeded-bits.ts';

/** Everything that changes the disk or makes a change durable is one step. */
export type DiskStep = 'create' | 'makeFolder' | 'remove' | 'rename' | 'syncFolder' | 'preallocate' | 'write' | 'truncate' | 'datasync';

export interface FaultyDiskOptions {
  readonly seed?: number;
  readonly capacityBytes?: number;
  /** Awaited before each step and each read, so that operations overlap. */
  readonly delay?: (operation: DiskStep | 'read', path: string) => Promise<void>;
}

/** A step's failure, or null to let it happen. `numbered` counts steps from 1. */
export type FaultPlan = (step: DiskStep, path: string, numbered: number) => ErrorCode | null;

/** What a name means from then on; null: nothing any more. */
type Edit = readonly [name: string, file: FileImage | null];

/** Edits that a file system makes all or none. */
interface FolderChange {
  readonly folder: string;
  readonly edits: readonly Edit[];
}

export class FaultyDisk implements Disk {
  readonly #options: FaultyDiskOptions;
  readonly #bits: SeededBits;
  /** Names as programs see them, and as they would be found after a loss of power. */
  #names = new Map<string, FileImage>();
  #durableNames = new Map<string, FileImage>();
  #folders = new Set<string>(['']);
  /** Changes of names since the last sync of their folder, in order. */
  #changes: FolderChange[] = [];
  #replacing: Promise<void> = Promise.resolve();
  #powerLossAt = Number.POSITIVE_INFINITY;
  #isOff = false;
  #plan: FaultPlan = () => null;
  readonly #counts = new Map<DiskStep, number>();
  #steps = 0;
  isReadOnly = false;
  capacityBytes: number;

  constructor(options: FaultyDiskOptions = {}) {
    this.#options = options;
    this.#bits = new SeededBits(options.seed ?? 1);
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Lets the step with this number happen, but nobody hears of it: power is lost with it. Counts all steps so far. */
  losePowerAt(step: number): void {
    this.#powerLossAt = step;
  }

  /** Decides from now on which steps fail. A failed step changes nothing, except that a failed sync drops what it owed. */
  failWhen(plan: FaultPlan): void {
    this.#plan = plan;
  }

  get isOff(): boolean {
    return this.#isOff;
  }

  /** Steps so far. */
  get steps(): number {
    return this.#steps;
  }

  countOf(step: DiskStep): number {
    return this.#counts.get(step) ?? 0;
  }

  /**
   * The power goes and comes back: of what was not synced some is there, by the seed. Returns the disk as the
   * next process finds it; this one, with all its files, is dead, so that nothing of the old process acts on.
   */
  powerCycle(): FaultyDisk {
    const mood = this.#bits.below(4);
    // Two in four lose everything or nothing, the extremes that chance rarely meets; the others lose parts.
    const survives = (): boolean => (mood === 0 ? false : mood === 1 ? true : this.#bits.below(2) === 1);
    const cut = new Set<string>();
    for (const { folder, edits } of this.#changes) {
      // Of one folder the changes survive up to some point: file systems keep their order.
      if (!cut.has(folder) && !survives()) cut.add(folder);
      if (!cut.has(folder)) applyEdits(this.#durableNames, edits);
    }
    this.#changes = [];
    for (const file of new Set(this.#durableNames.values())) file.losePower(survives);
    this.#names = new Map(this.#durableNames);
    return this.restartProcess();
  }

  /** Only the process dies: all that was written is there, and as little of it is durable as before. Returns the disk of the next one. */
  restartProcess(): FaultyDisk {
    const next = this.#successor((file) => file, this.#bits.below(1 << 30));
    this.#isOff = true;
    return next;
  }

  /** An independent copy of everything, as a backup of the whole disk would be. */
  clone(seed: number = 1): FaultyDisk {
    const copies = new Map<FileImage, FileImage>();
    return this.#successor((file) => {
      const copy = copies.get(file) ?? file.clone();
      copies.set(file, copy);
      return copy;
    }, seed);
  }

  #successor(fileOf: (file: FileImage) => FileImage, seed: number): FaultyDisk {
    const next = new FaultyDisk({ ...this.#options, seed, capacityBytes: this.capacityBytes });
    next.#names = new Map([...this.#names].map(([name, file]) => [name, fileOf(file)]));
    next.#durableNames = new Map([...this.#durableNames].map(([name, file]) => [name, fileOf(file)]));
    next.#changes = this.#changes.map(({ folder, edits }) => ({
      folder,
      edits: edits.map(([name, file]): Edit => [name, file === null ? null : fileOf(file)]),
    }));
    next.#folders = new Set(this.#folders);
    next.isReadOnly = this.isReadOnly;
    return next;
  }

  /** Rot: changes bits of a stored byte, durably. */
  flip(path: string, offset: number, mask: number = 1): void {
    const file = this.#names.get(path);
    assert(file !== undefined, `${path} exists`);
    file.flip(offset, mask);
  }

  /** Bytes of one file stand in the place of others, durably, as after a write to a wrong place. */
  misdirect(from: string, at: number, to: string, place: number, count: number): void {
    const [source, target] = [this.#names.get(from), this.#names.get(to)];
    assert(source !== undefined && target !== undefined, `${from} and ${to} exist`);
    const old = target.read(place, count);
    source.read(at, count).forEach((byte, i) => target.flip(place + i, byte ^ (old[i] ?? 0)));
  }

  /** Paths of all files, sorted. */
  paths(): readonly string[] {
    return [...this.#names.keys()].sort();
  }

  sizeOf(path: string): number {
    return this.#names.get(path)?.size ?? 0;
  }

  async open(path: string, options: { readonly create?: boolean } = {}): Promise<DiskFile> {
    requireInside(path);
    this.#requireOn();
    if (!this.#names.has(path) && options.create === true) {
      await this.#step('create', path, () => {
        this.#requireFolder(path);
        if (!this.#names.has(path)) this.#change([path, new FileImage()]);
      });
    }
    const file = this.#names.get(path);
    if (file === undefined) throw notFound(path);
    return new FaultyFile(path, file, this.#doors());
  }

  async list(folder: string): Promise<readonly string[]> {
    requireInside(folder);
    this.#requireOn();
    const prefix = folder === '' ? '' : `${folder}/`;
    const inside = [...this.#names.keys(), ...this.#folders].filter((path) => path !== '' && path.startsWith(prefix));
    const names = new Set(inside.map((path) => path.slice(prefix.length).split('/')[0] ?? ''));
    return Promise.resolve([...names].filter((name) => name !== '').sort());
  }

  async exists(path: string): Promise<boolean> {
    requireInside(path);
    this.#requireOn();
    return Promise.resolve(this.#names.has(path) || this.#folders.has(path));
  }

  async makeFolder(path: string): Promise<void> {
    requireInside(path);
    if (this.#folders.has(path)) return;
    await this.#step('makeFolder', path, () => {
      // Folders are durable at once: the port promises it of none, but the real one syncs what it makes.
      for (let at = path; at !== ''; at = parentOf(at)) this.#folders.add(at);
    });
  }

  async remove(path: string): Promise<void> {
    requireInside(path);
    await this.#step('remove', path, () => {
      if (this.#names.has(path)) this.#change([path, null]);
    });
  }

  async rename(from: string, to: string): Promise<void> {
    requireInside(from);
    requireInside(to);
    await this.#step('rename', from, () => {
      const file = this.#names.get(from);
      if (file === undefined) throw notFound(from);
      this.#requireFolder(to);
      if (from !== to) this.#change([to, file], [from, null]);
    });
  }

  async syncFolder(path: string): Promise<void> {
    requireInside(path);
    await this.#step('syncFolder', path, () => {
      if (!this.#folders.has(path)) throw notFound(path);
      for (const { folder, edits } of this.#changes) if (folder === path) applyEdits(this.#durableNames, edits);
      this.#changes = this.#changes.filter(({ folder }) => folder !== path);
    });
  }

  async readFile(path: string, maxBytes: number): Promise<Uint8Array> {
    const file = await this.open(path);
    const size = await file.size();
    if (size > maxBytes) throw new OperationError('TOO_LARGE', `${path} has ${size} bytes where ${maxBytes} are allowed.`);
    return file.readAt(0, size);
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    requireInside(path);
    // One after the other, as the name aside is shared.
    const turn = this.#replacing.then(() => this.#replaceFile(path, bytes));
    this.#replacing = turn.catch(() => undefined);
    await turn;
  }

  async space(): Promise<DiskSpace> {
    this.#requireOn();
    const totalBytes = Math.min(this.capacityBytes, Number.MAX_SAFE_INTEGER);
    return Promise.resolve({ totalBytes, freeBytes: Math.max(0, totalBytes - this.#usedBytes()) });
  }

  async #replaceFile(path: string, bytes: Uint8Array): Promise<void> {
    const aside = `${path}.new`;
    await this.remove(aside);
    const file = await this.open(aside, { create: true });
    try {
      await file.writeAt(0, [bytes]);
      await file.datasync();
      await this.rename(aside, path);
    } catch (error) {
      if (this.#names.has(aside)) this.#change([aside, null]);
      throw error;
    }
    await this.syncFolder(parentOf(path));
  }

  #doors(): FileDoors {
    return {
      requireAlive: () => this.#requireOn(),
      step: (step, path, action, failed) => this.#step(step, path, action, failed),
      read: async (path) => this.#options.delay?.('read', path),
      room: (growth) => {
        if (growth > 0 && this.#usedBytes() + growth > this.capacityBytes) {
          throw new OperationError('DISK_FULL', 'The simulated disk is full.');
        }
      },
    };
  }

  async #step(step: DiskStep, path: string, action: () => void, failed: () => void = () => undefined): Promise<void> {
    this.#requireOn();
    await (this.#options.delay?.(step, path) ?? Promise.resolve());
    this.#requireOn();
    if (this.isReadOnly) throw new OperationError('DISK_READ_ONLY', 'The simulated disk is read-only.');
    this.#steps += 1;
    this.#counts.set(step, this.countOf(step) + 1);
    const isLast = this.#steps >= this.#powerLossAt;
    // A sync that nobody hears of did not happen: what it owed is still at the mercy of the power.
    if (isLast && (step === 'datasync' || step === 'syncFolder')) return this.#losePower();
    const code = this.#plan(step, path, this.#steps);
    if (code !== null) {
      failed();
      throw new OperationError(code, `A ${step} of ${path} failed in the simulation.`);
    }
    action();
    if (isLast) this.#losePower();
  }

  #losePower(): void {
    this.#isOff = true;
    this.#requireOn();
  }

  #requireOn(): void {
    if (this.#isOff) throw new OperationError('DISK_ERROR', 'The simulated disk has no power, or its process is gone.');
  }

  #requireFolder(path: string): void {
    if (!this.#folders.has(parentOf(path))) throw notFound(path);
  }

  /** A change belongs to the folder of its first name. */
  #change(...edits: readonly [Edit, ...Edit[]]): void {
    applyEdits(this.#names, edits);
    this.#changes.push({ folder: parentOf(edits[0][0]), edits });
  }

  #usedBytes(): number {
    let sum = 0;
    for (const file of new Set(this.#names.values())) sum += file.size;
    return sum;
  }
}

interface FileDoors {
  requireAlive(): void;
  step(step: DiskStep, path: string, action: () => void, failed?: () => void): Promise<void>;
  read(path: string): Promise<void>;
  /** DISK_FULL unless the disk can hold so many bytes more. */
  room(growth: number): void;
}

class FaultyFile implements DiskFile {
  readonly path: string;
  readonly #image: FileImage;
  readonly #doors: FileDoors;
  #isClosed = false;

  constructor(path: string, image: FileImage, doors: FileDoors) {
    this.path = path;
    this.#image = image;
    this.#doors = doors;
  }

  async size(): Promise<number> {
    this.#requireOpen();
    return Promise.resolve(this.#image.size);
  }

  async preallocate(bytes: number): Promise<void> {
    this.#requireOpen();
    await this.#doors.step('preallocate', this.path, () => {
      this.#doors.room(bytes - this.#image.size);
      this.#image.resize(bytes);
    });
  }

  async writeAt(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    this.#requireOpen();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    await this.#doors.step('write', this.path, () => {
      this.#doors.room(offset + length - this.#image.size);
      let at = offset;
      for (const part of parts) {
        this.#image.write(at, part);
        at += part.length;
      }
    });
  }

  async readAt(offset: number, length: number): Promise<Uint8Array> {
    this.#requireOpen();
    await this.#doors.read(this.path);
    this.#doors.requireAlive();
    if (offset + length > this.#image.size) throw new OperationError('CORRUPT', `${this.path} ends before byte ${offset + length}.`);
    return this.#image.read(offset, length);
  }

  async datasync(): Promise<void> {
    this.#requireOpen();
    // What is written while the sync is under way is not promised by it.
    const owed = this.#image.unsynced();
    const dropped = (): void => this.#image.forget(owed);
    await this.#doors.step('datasync', this.path, () => this.#image.sync(owed), dropped);
  }

  async truncate(bytes: number): Promise<void> {
    this.#requireOpen();
    await this.#doors.step('truncate', this.path, () => {
      this.#doors.room(bytes - this.#image.size);
      this.#image.resize(bytes);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }

  #requireOpen(): void {
    this.#doors.requireAlive();
    if (this.#isClosed) throw new OperationError('DISK_ERROR', `${this.path} is closed.`);
  }
}

function applyEdits(names: Map<string, FileImage>, edits: readonly Edit[]): void {
  for (const [name, file] of edits) {
    if (file === null) names.delete(name);
    else names.set(name, file);
  }
}

function parentOf(path: string): string {
  const at = path.lastIndexOf('/');
  return at === -1 ? '' : path.slice(0, at);
}

/** The same paths are refused as by the real disk. */
function requireInside(path: string): void {
  if (path.startsWith('/') || path.includes('\0') || path.split(/[/\\]/).includes('..')) {
    throw new OperationError('BAD_ARGUMENT', `The path ${JSON.stringify(path)} leaves its folder.`);
  }
}

function notFound(path: string): OperationError {
  return new OperationError('NOT_FOUND', `${path} does not exist.`);
}
