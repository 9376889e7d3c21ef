/**
 * Byzantine writers with a real gateway's key: two manifests of one stamp, counters out of all proportion,
 * contents that are no codeword, contents that some nodes never get. They speak to single nodes and collect
 * whatever receipts they can.
 */
import { EMPTY } from '../../base/bytes.ts';
import { CELL_BYTES_MAX } from '../../base/limits.ts';
import { referenceCodec } from '../../erasure/reference.ts';
import { WorkspacePool } from '../../erasure/workspace.ts';
import type { CertReceipt } from '../../protocol/certificate.ts';
import { signedManifestToWire } from '../../protocol/manifest.ts';
import type { Answer, RawVersion, RawWriter } from './raw-writer.ts';

/** Two manifests, signed by one writer, that stand under one stamp of one key. */
export function equivocation(writer: RawWriter, key: string, counter: number): readonly [RawVersion, RawVersion] {
  return [writer.version({ key, counter, content: `${key} one` }), writer.version({ key, counter, content: `${key} other` })];
}

/** How a writer asks one node for a receipt. */
export type Asking = (slot: number, version: RawVersion) => Promise<Answer<'PREPARE'>>;

/** The receipts of all nodes that give one. */
export async function gatherReceipts(
  writer: RawWriter,
  version: RawVersion,
  slots: readonly number[],
  ask: Asking = (slot, asked) => writer.prepare(slot, asked),
): Promise<CertReceipt[]> {
  const receipts: CertReceipt[] = [];
  await Promise.all(
    slots.map(async (slot) => {
      const answer = await ask(slot, version);
      if (answer.ok) receipts.push({ slot, ...answer.answer });
    }),
  );
  return receipts.sort((a, b) => a.slot - b.slot);
}

/** Asks for a receipt and sends none of the content. */
export function withoutContent(writer: RawWriter): Asking {
  return (slot, { signed }) =>
    writer.ask(slot, { t: 'PREPARE', manifest: signedManifestToWire(signed), upload: null, row: null, prevCert: null, record: null });
}

/** Sends the row that the manifest commits to, and a cell that is not the one of it. */
export function withWrongCells(writer: RawWriter): Asking {
  return (slot, version) => {
    const cells = version.cells.map((row) => row.map((cell) => Uint8Array.from(cell, (byte) => byte ^ 0xff)));
    return writer.prepare(slot, { ...version, cells });
  };
}

/** Sends cells that match their row, and a row that the manifest does not commit to. */
export function withOtherRows(writer: RawWriter): Asking {
  return (slot, version) => {
    const { cells, rows } = writer.version({ key: 'elsewhere', counter: 1, size: version.signed.manifest.size });
    return writer.prepare(slot, { ...version, cells, rows });
  };
}

/** Uploads the cells of fewer stripes than the manifest names. */
export function withFewerStripes(writer: RawWriter): Asking {
  return async (slot, version) => {
    const few = { ...version, cells: version.cells.slice(0, 1), rows: version.rows.slice(0, 1) };
    return writer.prepare(slot, version, { upload: await writer.upload(slot, few) });
  };
}

/** Codes as everybody does, but for one bit of the last parity cell: the row commits to what is no codeword. */
export function crookedWorkspaces(slotCount: number): WorkspacePool {
  const crooked = (memoryBytes: number): ReturnType<typeof referenceCodec> => {
    const codec = referenceCodec(memoryBytes);
    return {
      ...codec,
      encode(shape, place) {
        codec.encode(shape, place);
        const at = place.base + (shape.n - 1) * place.cellBytes;
        codec.memory[at] = (codec.memory[at] ?? 0) ^ 1;
      },
    };
  };
  return new WorkspacePool(crooked, { workspaceCount: 1, cellCountMax: slotCount, cellBytesMax: CELL_BYTES_MAX });
}

/** Brings an old certificate to every node again, as a node that was away for long, or an enemy, would. */
export async function replay(writer: RawWriter, cert: Uint8Array, slots: readonly number[]): Promise<void> {
  for (const slot of slots) await writer.commit(slot, cert, EMPTY);
}
