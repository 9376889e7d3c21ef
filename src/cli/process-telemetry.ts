/**
 * Telemetry of one process: counters in memory, read through the admin socket, and events as one JSON line
 * each on standard error. Both are bounded, because what is counted and told may come from a hostile peer:
 * series above the bound are counted together, events above the rate are counted instead of written.
 */
import process from 'node:process';
import type { Labels, Telemetry } from '../base/ports.ts';

const SERIES_MAX = 2048;
const EVENTS_PER_WINDOW = 200;
const WINDOW_MS = 10_000;
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

export interface ProcessTelemetry extends Telemetry {
  /** Name with labels → count, in order of names. */
  counters(): Record<string, number>;
}

export interface TelemetryOptions {
  /** Stands in every line: which process speaks. */
  readonly process: string;
  readonly level?: Level;
  readonly write?: (line: string) => void;
  readonly nowMs?: () => number;
}

export function processTelemetry(options: TelemetryOptions): ProcessTelemetry {
  const write = options.write ?? ((line: string): void => void process.stderr.write(line));
  const nowMs = options.nowMs ?? Date.now;
  const lowest = LEVELS.indexOf(options.level ?? 'info');
  const series = new Map<string, number>();
  let windowStart = -Infinity;
  let written = 0;
  let suppressed = 0;
  const print = (level: Level, name: string, fields: Readonly<Record<string, unknown>>): void => {
    const time = new Date(nowMs()).toISOString();
    write(`${JSON.stringify({ time, level, process: options.process, event: name, ...fields })}\n`);
  };
  return {
    count(name, labels = {}, by = 1) {
      const key = seriesName(name, labels);
      const known = series.has(key) || series.size < SERIES_MAX ? key : `${name}{overflow=true}`;
      series.set(known, (series.get(known) ?? 0) + by);
    },
    event(level, name, fields = {}) {
      if (LEVELS.indexOf(level) < lowest) return;
      const now = nowMs();
      // A clock that was set back opens a new window, too.
      if (now - windowStart >= WINDOW_MS || now < windowStart) {
        if (suppressed > 0) print('warn', 'events_suppressed', { count: suppressed });
        windowStart = now;
        written = 0;
        suppressed = 0;
      }
      if (written >= EVENTS_PER_WINDOW) {
        suppressed += 1;
        return;
      }
      written += 1;
      print(level, name, fields);
    },
    counters: () => Object.fromEntries([...series].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

function seriesName(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? name : `${name}{${pairs.sort().join(',')}}`;
}
