/**
 * The certificate of the S3 door: PEM files that whoever renews them replaces in place. They are looked at
 * every few seconds and taken over without a restart once both fit each other; until then the old ones stay,
 * and the log says why.
 */
import fs from 'node:fs/promises';
import { OperationError, describeError } from '../base/errors.ts';
import type { Clock, Telemetry, Timer } from '../base/ports.ts';
import type { TlsFiles } from '../platform/http-server.ts';
import { readGivenFile } from './given-file.ts';

const PEM_BYTES_MAX = 1024 * 1024;
export const LOOK_MS = 2_000;

export interface CertificatePaths {
  readonly cert: string;
  readonly key: string;
}

/** BAD_ARGUMENT unless both options are given or none. */
export function certificatePaths(cert: string | undefined, key: string | undefined): CertificatePaths | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new OperationError('BAD_ARGUMENT', '--tls-cert and --tls-key go together.');
  }
  return { cert, key };
}

export async function readCertificate({ cert, key }: CertificatePaths): Promise<TlsFiles> {
  const read = async (file: string, what: string): Promise<string> =>
    Buffer.from(await readGivenFile(file, what, PEM_BYTES_MAX, 'BAD_ARGUMENT')).toString('latin1');
  return { cert: await read(cert, 'TLS certificate'), key: await read(key, 'TLS key') };
}

export interface CertificateWatchOptions {
  readonly paths: CertificatePaths;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Throws when the files do not fit. */
  readonly renew: (files: TlsFiles) => void;
}

/** Watches until it is stopped. */
export class CertificateWatch {
  readonly #options: CertificateWatchOptions;
  #timer: Timer | undefined;
  #marks: string | undefined;
  #isStopped = false;

  constructor(options: CertificateWatchOptions) {
    this.#options = options;
    this.#next();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #next(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.after(LOOK_MS, () => void this.#look().finally(() => this.#next()));
  }

  async #look(): Promise<void> {
    const { paths, telemetry, renew } = this.#options;
    try {
      const marks = await marksOf(paths);
      if (marks === this.#marks) return;
      const files = await readCertificate(paths);
      if (this.#isStopped) return;
      // A pair that does not fit is looked at again only when a file changes: it is being replaced.
      this.#marks = marks;
      renew(files);
      telemetry.event('info', 'certificate_loaded', {});
    } catch (error) {
      telemetry.count('certificate_not_loaded');
      telemetry.event('error', 'certificate_not_loaded', { error: describeError(error) });
    }
  }
}

async function marksOf({ cert, key }: CertificatePaths): Promise<string> {
  const marks = [cert, key].map(async (file) => {
    const { ino, size, mtimeMs, ctimeMs } = await fs.stat(file);
    return [ino, size, mtimeMs, ctimeMs].join(' ');
  });
  return (await Promise.all(marks)).join('\n');
}
