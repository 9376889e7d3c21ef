/**
 * Seal, code and hash: the processor path of a PUT, against the law that the sum of its parts gives,
 * 1/rate = 1/seal + (n/k)/hash + 1/code + 1/md5 + 1/crc (performance.md C, target 8), all from one run in one
 * process by processor time, interleaved, after a warm-up.
 */
import { aeadKey, aeadSealInto, incremental, sha256 } from '../src/crypto/primitives.ts';
import { codeStripe } from '../src/client/stripe-code.ts';
import { wasmCodec } from '../src/erasure/wasm.ts';
import { WorkspacePool } from '../src/erasure/workspace.ts';
import { crc64nvme } from '../src/gateway/s3/checksums/crc.ts';
import { stripeAssociated, stripeNonce, stripePlainBytes } from '../src/protocol/stripes.ts';
import { CELL_BYTES_DEFAULT } from '../src/base/limits.ts';
import type { BenchRow } from './codec.ts';
import { median } from './processes.ts';

const K = 4;
const N = 6;
const ROUNDS = 9;
const STRIPES_PER_ROUND = 24;
const WARM_UP_ROUNDS = 3;

/** GB/s of user data that `work` handles, by processor time. */
async function rate(bytes: number, work: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const used = process.cpuUsage(before);
  return bytes / ((used.user + used.system) * 1000);
}

export async function benchPipeline(print: (line: string) => void): Promise<BenchRow[]> {
  const cellBytes = CELL_BYTES_DEFAULT;
  const plainBytes = stripePlainBytes({ k: K, cellBytes });
  const workspaces = new WorkspacePool(wasmCodec, { workspaceCount: 4, cellCountMax: N, cellBytesMax: cellBytes });
  const layout = { k: K, n: N, cellBytes, size: plainBytes * STRIPES_PER_ROUND };
  // A ring larger than the caches, as real bodies are.
  const ring = Array.from({ length: STRIPES_PER_ROUND }, (_, i) => new Uint8Array(plainBytes).fill(i + 1));
  const key = aeadKey(new Uint8Array(32).fill(7));
  const out = new Uint8Array(K * cellBytes);
  const bytes = plainBytes * STRIPES_PER_ROUND;
  const cases: Record<string, () => Promise<void> | void> = {
    seal: () => {
      for (const [i, plain] of ring.entries()) aeadSealInto(key, stripeNonce(i), stripeAssociated(1, i, false), [plain], out);
    },
    hash: () => {
      for (const plain of ring) for (let i = 0; i < K; i += 1) sha256(plain.subarray(i * cellBytes, (i + 1) * cellBytes));
    },
    code: async () => {
      for (const plain of ring) {
        const workspace = await workspaces.acquire({ k: K, n: N }, cellBytes);
        workspace.area.set(plain.subarray(0, 64));
        workspace.encode(K * cellBytes);
        workspace.release();
      }
    },
    md5: () => {
      const md5 = incremental('md5');
      for (const plain of ring) md5.update(plain);
      md5.digest();
    },
    crc: () => {
      const crc = crc64nvme();
      for (const plain of ring) crc.update(plain);
    },
    pipeline: async () => {
      const md5 = incremental('md5');
      const crc = crc64nvme();
      for (const [i, plain] of ring.entries()) {
        md5.update(plain);
        crc.update(plain);
        await codeStripe(workspaces, layout, key, 1, i, [plain]);
      }
      md5.digest();
    },
  };
  const figures = new Map<string, number[]>(Object.keys(cases).map((name) => [name, []]));
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
    for (const [name, work] of Object.entries(cases)) {
      const value = await rate(bytes, work);
      if (round >= 0) figures.get(name)?.push(value);
    }
  }
  const at = (name: string): number => median(figures.get(name) ?? []);
  const law = 1 / (1 / at('seal') + N / K / at('hash') + 1 / at('code') + 1 / at('md5') + 1 / at('crc'));
  const rows: BenchRow[] = [
    ...Object.keys(cases).map((name) => ({ name: `pipeline ${name}`, value: at(name), unit: 'GB/s' })),
    { name: 'pipeline / law (target 8: must >= 0.7)', value: at('pipeline') / law, unit: 'ratio' },
    { name: 'coding share of the pipeline (target 9: must <= 0.10)', value: at('pipeline') / at('code'), unit: 'share' },
  ];
  for (const row of rows) print(`${row.name}: ${row.value?.toFixed(3)} ${row.unit}`);
  return rows;
}
