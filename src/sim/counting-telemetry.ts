/** Telemetry that a test or a simulation can look into afterwards. */
import type { Telemetry } from '../base/ports.ts';

export class CountingTelemetry implements Telemetry {
  readonly counts = new Map<string, number>();
  readonly events: { readonly level: string; readonly name: string; readonly fields: unknown }[] = [];

  count(name: string, labels: Readonly<Record<string, string>> = {}, by: number = 1): void {
    const key = [name, ...Object.entries(labels).map(([k, v]) => `${k}=${v}`)].join(' ');
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }

  event(level: 'debug' | 'info' | 'warn' | 'error', name: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.events.push({ level, name, fields });
  }
}
