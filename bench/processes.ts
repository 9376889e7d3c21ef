/**
 * What a set of processes has used, from /proc: processor time, which survives a busy machine better than
 * wall time does, and peak resident memory. On systems without /proc the figures are null: NOT RUN.
 */
import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Processor milliseconds that these processes have used so far, user and system; null without /proc. */
export function cpuMs(pids: readonly number[]): number | null {
  let ticks = 0;
  for (const pid of pids) {
    const fields = read(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ');
    if (fields === undefined) return null;
    // Fields 14 and 15 of the line; the state is field 3, the first after the name.
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks * 1000) / TICKS_PER_SECOND;
}

/** Largest resident memory of a process so far, in bytes. */
export function peakMemoryBytes(pid: number): number | null {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '');
  return match?.[1] === undefined ? null : Number(match[1]) * 1024;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
