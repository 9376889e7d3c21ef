/** A disk whose syncs can be held back, so that a test decides what is durable when the power goes. */
import { FaultyDisk } from '../../src/sim/faulty-disk.ts';

export class HeldDisk {
  #waiting: { readonly path: string; readonly go: () => void }[] = [];
  #held: RegExp | null = null;
  #disk: FaultyDisk;

  constructor(seed: number) {
    this.#disk = new FaultyDisk({ seed, delay: (operation, path) => (operation === 'datasync' ? this.#turn(path) : Promise.resolve()) });
  }

  get disk(): FaultyDisk {
    return this.#disk;
  }

  /** From now on syncs of files with such names do not happen. */
  hold(names: RegExp): void {
    this.#held = names;
  }

  /** What was held back happens now. */
  release(): void {
    this.#held = null;
    for (const { go } of this.#waiting.splice(0)) go();
  }

  /** The power goes: what was held back never happened. The node must be killed and opened anew. */
  powerLoss(): FaultyDisk {
    this.#disk = this.#disk.powerCycle();
    this.release();
    return this.#disk;
  }

  #turn(path: string): Promise<void> {
    if (this.#held?.test(path) !== true) return Promise.resolve();
    return new Promise((go) => this.#waiting.push({ path, go }));
  }
}
