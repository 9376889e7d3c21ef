/**
 * KeyValueStore over LevelDB (classic-level), or over any database of the same interface. Each value carries
 * a truncated SHA-256 of itself and its key, because the engine does not check what it reads: a rotten bit
 * becomes CORRUPT instead of a wrong row, and who keeps a view here then builds it anew.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { concat, equal, u32be } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import type { KeyValueOperation, KeyValueRange, KeyValueStore } from '../base/ports.ts';

const DIGEST_BYTES = 8;
/** Rows fetched at once by an iterator. */
const READ_AHEAD_ROWS = 256;

const BINARY = { keyEncoding: 'view', valueEncoding: 'view' } as const;

/** What this store asks of a database; classic-level and memory-level both have it. */
export interface LevelDatabase {
  open(): Promise<void>;
  get(key: Uint8Array, options: typeof BINARY): Promise<Uint8Array | undefined>;
  batch(operations: KeyValueOperation[], options: typeof BINARY & { readonly sync: boolean }): Promise<void>;
  iterator(options: KeyValueRange & typeof BINARY): LevelIterator;
  clear(): Promise<void>;
  close(): Promise<void>;
}

interface LevelIterator {
  nextv(size: number): Promise<[Uint8Array, Uint8Array][]>;
  close(): Promise<void>;
}

export class LevelStore implements KeyValueStore {
  readonly #database: LevelDatabase;

  /** Owns the database, which may be open or not; `close` closes it. */
  constructor(database: LevelDatabase) {
    this.#database = database;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const stored = await guarded(() => this.#database.get(key, BINARY));
    return stored === undefined ? undefined : unwrap(key, stored);
  }

  async batch(
    operations: readonly KeyValueOperation[],
    options: { readonly sync?: boolean } = {},
  ): Promise<void> {
    const wrapped = operations.map((operation) =>
      operation.type === 'del' ? operation : { ...operation, value: wrap(operation.key, operation.value) },
    );
    await guarded(() => this.#database.batch(wrapped, { ...BINARY, sync: options.sync ?? false }));
  }

  async *range(options: KeyValueRange): AsyncIterable<readonly [Uint8Array, Uint8Array]> {
    if (options.limit === 0) return;
    const iterator = this.#database.iterator({ ...options, ...BINARY });
    try {
      for (;;) {
        const rows = await guarded(() => iterator.nextv(READ_AHEAD_ROWS));
        if (rows.length === 0) return;
        for (const [key, stored] of rows) yield [key, unwrap(key, stored)];
      }
    } finally {
      await iterator.close();
    }
  }

  async clear(): Promise<void> {
    await guarded(() => this.#database.clear());
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

/**
 * Opens or creates the database in `folder`. What LevelDB itself finds damaged is removed and begun anew: it
 * is a view. IN_USE when another process holds it.
 */
export async function openLevelStore(folder: string): Promise<LevelStore> {
  const open = async (): Promise<LevelStore> => {
    const database = new ClassicLevel<Uint8Array, Uint8Array>(folder, BINARY);
    await guarded(() => database.open());
    return new LevelStore(database);
  };
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'CORRUPT') throw error;
    await rm(folder, { recursive: true, force: true });
    return open();
  }
}

function digest(key: Uint8Array, value: Uint8Array): Uint8Array {
  const state = createHash('sha256').update(u32be(key.length)).update(key).update(value);
  return state.digest().subarray(0, DIGEST_BYTES);
}

function wrap(key: Uint8Array, value: Uint8Array): Uint8Array {
  return concat(digest(key, value), value);
}

function unwrap(key: Uint8Array, stored: Uint8Array): Uint8Array {
  const value = stored.subarray(DIGEST_BYTES);
  if (stored.length < DIGEST_BYTES || !equal(digest(key, value), stored.subarray(0, DIGEST_BYTES))) {
    throw new OperationError('CORRUPT', 'A row of the index does not match its digest.');
  }
  return value;
}

/** The engine's failures as ours. */
async function guarded<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw translated(error);
  }
}

function translated(error: unknown): unknown {
  const codes = errorCodes(error);
  if (codes.has('LEVEL_CORRUPTION')) {
    return new OperationError('CORRUPT', 'The index is damaged.', { cause: error });
  }
  if (codes.has('LEVEL_LOCKED')) {
    return new OperationError('IN_USE', 'Another process holds the index.', {
      cause: error,
      remedy: 'Stop the other process, or use another folder.',
    });
  }
  if (codes.has('LEVEL_IO_ERROR')) {
    return new OperationError('DISK_ERROR', 'The disk failed an operation of the index.', {
      cause: error,
      retryable: true,
    });
  }
  return error;
}

/** The codes of an error and of its causes: opening wraps what went wrong. */
function errorCodes(error: unknown): ReadonlySet<string> {
  const codes = new Set<string>();
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') codes.add(at.code);
  }
  return codes;
}
