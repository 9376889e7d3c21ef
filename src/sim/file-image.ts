/**
 * One file of the faulty disk: its bytes as programs see them, and as the platter holds them. Unsynced
 * sectors are known one by one, so that each may be lost or kept when the power goes.
 */
export const SECTOR_BYTES = 512;

/** What a sync that began at some moment owes: sectors, and the size. */
export interface Owed {
  readonly sectors: ReadonlySet<number>;
  readonly size: number;
}

export class FileImage {
  #seen = new Uint8Array(0);
  #size = 0;
  #durable = new Uint8Array(0);
  #durableSize = 0;
  /** Sectors that differ, or may differ, on the platter. */
  #dirty = new Set<number>();

  get size(): number {
    return this.#size;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#seen.slice(offset, offset + length);
  }

  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#seen = grown(this.#seen, offset + bytes.length);
    this.#seen.set(bytes, offset);
    this.#size = Math.max(this.#size, offset + bytes.length);
    this.#mark(offset, offset + bytes.length);
  }

  resize(bytes: number): void {
    this.#seen = grown(this.#seen, bytes);
    if (bytes < this.#size) this.#seen.fill(0, bytes, this.#size);
    this.#mark(Math.min(bytes, this.#size), Math.max(bytes, this.#size));
    this.#size = bytes;
  }

  unsynced(): Owed {
    return { sectors: new Set(this.#dirty), size: this.#size };
  }

  sync({ sectors, size }: Owed): void {
    for (const sector of sectors) {
      this.#persist(sector);
      this.#dirty.delete(sector);
    }
    this.#durableSize = size;
  }

  /** A sync failed: the system shows the new bytes, holds them for clean, and never writes them. */
  forget({ sectors }: Owed): void {
    for (const sector of sectors) this.#dirty.delete(sector);
  }

  losePower(survives: () => boolean): void {
    if (this.#size !== this.#durableSize && survives()) this.#durableSize = this.#size;
    for (const sector of [...this.#dirty].sort((a, b) => a - b)) if (survives()) this.#persist(sector);
    this.#dirty.clear();
    this.#durable = grown(this.#durable, this.#durableSize);
    this.#durable.fill(0, this.#durableSize);
    this.#seen = this.#durable.slice();
    this.#size = this.#durableSize;
  }

  flip(offset: number, mask: number): void {
    this.#durable = grown(this.#durable, offset + 1);
    for (const bytes of [this.#seen, this.#durable]) bytes[offset] = (bytes[offset] ?? 0) ^ mask;
  }

  clone(): FileImage {
    const copy = new FileImage();
    copy.#seen = this.#seen.slice();
    copy.#size = this.#size;
    copy.#durable = this.#durable.slice();
    copy.#durableSize = this.#durableSize;
    copy.#dirty = new Set(this.#dirty);
    return copy;
  }

  #mark(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector += 1) this.#dirty.add(sector);
  }

  #persist(sector: number): void {
    const from = sector * SECTOR_BYTES;
    this.#durable = grown(this.#durable, from + SECTOR_BYTES);
    this.#durable.fill(0, from, from + SECTOR_BYTES);
    this.#durable.set(this.#seen.subarray(from, Math.min(from + SECTOR_BYTES, this.#seen.length)), from);
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  if (size <= bytes.length) return bytes;
  const out = new Uint8Array(Math.max(size, 2 * bytes.length));
  out.set(bytes);
  return out;
}
