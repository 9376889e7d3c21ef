/** The real Random: the operating system's generator. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../base/ports.ts';

export class SystemRandom implements Random {
  bytes(count: number): Uint8Array {
    const bytes = randomBytes(count);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}
