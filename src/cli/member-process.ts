/**
 * What `node run`, `gateway run` and `controller run` share: the folder is opened and locked, the admin door is opened, the
 * process tells its parent how far it is, runs until it is asked to stop or must end, and closes what it
 * opened in reverse order. A process that fails to close ends anyway.
 */
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { OperationError } from '../base/errors.ts';
import { lockFolder } from '../platform/folder-lock.ts';
import { NodeDisk, diskFailure } from '../platform/disk.ts';
import { listenAdmin } from './admin-socket.ts';
import { tellFailure, tellParent, untilAskedToStop } from './child-messages.ts';
import { processTelemetry } from './process-telemetry.ts';
import type { ProcessTelemetry } from './process-telemetry.ts';

const CLOSE_MS = 12_000;

export interface MemberFolder {
  readonly path: string;
  readonly disk: NodeDisk;
  readonly telemetry: ProcessTelemetry;
  /** Runs when the process ends; last added, first run. */
  onEnd(close: () => Promise<void>): void;
  /** Ends the process, orderly, with this failure. */
  fail(error: unknown): void;
}

export interface RunningMember {
  readonly isReady: () => boolean;
  readonly status: () => Promise<object>;
  /** What its admin door answers besides. */
  readonly answers?: ReadonlyMap<string, (query: URLSearchParams) => Promise<object>>;
}

/** Runs a member in its folder until it is asked to stop; rejects with what ended it otherwise. */
export async function runMember(
  dir: string,
  name: string,
  start: (folder: MemberFolder) => Promise<RunningMember>,
  serve: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const folderPath = path.resolve(dir);
  const closers: (() => Promise<void>)[] = [];
  let failNow: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (failNow = reject));
  const stopped = untilAskedToStop();
  const ending = new AbortController();
  try {
    requireFolder(folderPath);
    const lock = await lockFolder(folderPath);
    closers.push(() => lock.release());
    const telemetry = processTelemetry({ process: name });
    const disk = new NodeDisk(folderPath);
    const folder: MemberFolder = {
      path: folderPath,
      disk,
      telemetry,
      onEnd: (close) => void closers.push(close),
      fail: failNow,
    };
    const member = await start(folder);
    const startedAt = Date.now();
    const admin = await listenAdmin({
      folder: folderPath,
      isReady: member.isReady,
      status: async () => ({
        process: name,
        pid: process.pid,
        uptimeMs: Date.now() - startedAt,
        ready: member.isReady(),
        ...(await member.status()),
        counters: telemetry.counters(),
      }),
      ...(member.answers === undefined ? {} : { answers: member.answers }),
    });
    closers.push(() => admin.close());
    const served = serve(ending.signal).then(() => {
      tellParent({ type: 'serving' });
      telemetry.event('info', 'serving');
    });
    // Stopping may cut the start short: what `serve` then rejects with is no failure.
    served.catch(() => undefined);
    await Promise.race([stopped, failed, served.then(() => Promise.race([stopped, failed]))]);
    telemetry.event('info', 'stopping');
  } catch (error) {
    tellFailure(error);
    throw error;
  } finally {
    ending.abort();
    await closeAll(closers);
  }
}

function requireFolder(folderPath: string): void {
  let isFolder: boolean | undefined;
  try {
    isFolder = fs.statSync(folderPath, { throwIfNoEntry: false })?.isDirectory();
  } catch (error) {
    // Only an answer counts: a folder that this user may not look at is not lost.
    throw diskFailure(error, `opening ${folderPath}`);
  }
  if (isFolder === true) return;
  if (isFolder === false) throw new OperationError('BAD_ARGUMENT', `${folderPath} is not a folder.`, { remedy: 'Name one with --dir.' });
  throw new OperationError('LOST_STATE', `The folder ${folderPath} does not exist.`, {
    remedy: 'If it never existed, make it with `init`; a folder that is gone has lost what it promised.',
  });
}

async function closeAll(closers: (() => Promise<void>)[]): Promise<void> {
  const deadline = setTimeout(() => process.exit(1), CLOSE_MS);
  deadline.unref();
  for (const close of closers.reverse()) {
    try {
      await close();
    } catch (error) {
      process.stderr.write(`${JSON.stringify({ event: 'close_failed', error: String(error) })}\n`);
    }
  }
  clearTimeout(deadline);
}
