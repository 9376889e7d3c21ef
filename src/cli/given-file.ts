/** Files that a command line names: small, whole, and from anywhere, so also from a pipe or a device without an end. */
import { open } from 'node:fs/promises';
import { OperationError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';

const CHUNK_BYTES = 64 * 1024;

/** `what` names its kind in errors. NOT_FOUND with the system's reason; `tooLarge` when it has more than `maxBytes`, of which no more is read. */
export async function readGivenFile(file: string, what: string, maxBytes: number, tooLarge: ErrorCode): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    const handle = await open(file, 'r');
    try {
      for (;;) {
        const { bytesRead, buffer } = await handle.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES, null);
        if (bytesRead === 0) break;
        chunks.push(buffer.subarray(0, bytesRead));
        size += bytesRead;
        if (size > maxBytes) break;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    const errno = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new OperationError('NOT_FOUND', `The ${what} ${file} cannot be read: ${errno}.`, {
      cause: error,
      remedy: 'Name a file that exists and that your user may read.',
    });
  }
  if (size > maxBytes) {
    throw new OperationError(tooLarge, `${file} has more than ${maxBytes} bytes, too many for a ${what}.`, {
      remedy: `Check that it is the ${what} and not another file.`,
    });
  }
  return Buffer.concat(chunks);
}
