/** Keeps the nodes up to date with how far a gateway's audit log has come (log/anchor.ts). */
import { describeError } from '../../base/errors.ts';
import type { Clock, Telemetry, Timer } from '../../base/ports.ts';
import type { ProtocolClient } from '../../client/client.ts';
import type { AuditLog } from './audit-log.ts';

/** Between looks whether the log has grown beyond what the nodes keep of it. */
const ANCHOR_MS = 5_000;

export interface AnchorPorts {
  readonly audit: AuditLog;
  readonly client: Pick<ProtocolClient, 'anchor'>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

export class AnchorKeeper {
  readonly #ports: AnchorPorts;
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();
  #anchoredSize = -1;
  #isStopped = false;

  constructor(ports: AnchorPorts) {
    this.#ports = ports;
  }

  start(): void {
    if (this.#isStopped) return;
    const { clock, telemetry } = this.#ports;
    this.#timer = clock.after(ANCHOR_MS, () => {
      this.#running = this.#anchor()
        .catch((error: unknown) => telemetry.event('warn', 'the audit log is not anchored', { error: describeError(error) }))
        .finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** A node that keeps more than the log has, or something else, is an alarm. */
  async #anchor(): Promise<void> {
    const { audit, client, telemetry } = this.#ports;
    if (audit.status.size === this.#anchoredSize) return;
    const checkpoint = await audit.checkpoint();
    const verdicts = await client.anchor(checkpoint, (from) => audit.consistencyFrom(from));
    for (const [slot, verdict] of verdicts.entries()) {
      if (verdict.kind !== 'contradicted') continue;
      telemetry.count('audit_log_contradicted', { slot: String(slot) });
      telemetry.event('error', 'a node keeps a checkpoint of this audit log that the log does not extend', { slot, size: verdict.held.size });
    }
    if (verdicts.every(({ kind }) => kind === 'anchored')) this.#anchoredSize = checkpoint.checkpoint.size;
  }
}
