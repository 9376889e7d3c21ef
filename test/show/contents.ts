/** Bytes for tests: as many as wanted, the same for the same name, without repetition inside one content. */
import { createCipheriv, createHash } from 'node:crypto';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** `size` bytes that depend on `name` alone: an AES-CTR key stream. */
export function contentOf(name: string, size: number): Buffer {
  const seed = createHash('sha256').update(name).digest();
  return createCipheriv('aes-256-ctr', seed, Buffer.alloc(16)).update(Buffer.alloc(size));
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
