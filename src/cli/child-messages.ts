/**
 * What a child process and its parent say to each other over the IPC channel that `holdfast up` opens. Both
 * are the same program, yet the parent checks what it reads: a child that went wrong must not take it along.
 * A child whose channel closes has lost its parent and stops.
 */
import process from 'node:process';
import { z } from 'zod';
import { errorFields } from './terminal.ts';

const messageSchema = z.discriminatedUnion('type', [
  /** The port is open. */
  z.strictObject({ type: z.literal('listening'), address: z.string().max(300) }),
  /** All checks have ended well: requests are served. */
  z.strictObject({ type: z.literal('serving') }),
  /** The process ends, for this reason. */
  z.strictObject({
    type: z.literal('failed'),
    code: z.string().max(100),
    message: z.string().max(4000),
    remedy: z.string().max(4000).optional(),
  }),
]);
export type ChildMessage = z.infer<typeof messageSchema>;

export function parseChildMessage(value: unknown): ChildMessage | null {
  const parsed = messageSchema.safeParse(value);
  return parsed.success ? parsed.data : null;
}

/** Says it to the parent, when there is one. */
export function tellParent(message: ChildMessage): void {
  if (process.send !== undefined && process.connected) process.send(message);
}

export function tellFailure(error: unknown): void {
  const fields = errorFields(error);
  tellParent({
    type: 'failed',
    code: String(fields['code']),
    message: String(fields['message']).slice(0, 4000),
    ...(fields['remedy'] === undefined ? {} : { remedy: String(fields['remedy']).slice(0, 4000) }),
  });
}

/**
 * Resolves when this process is asked to stop: by SIGTERM, by SIGINT at a terminal of its own, or because its
 * parent went away. A second signal ends it at once.
 */
export function untilAskedToStop(): Promise<string> {
  return new Promise((resolve) => {
    let asked = false;
    const ask = (why: string): void => {
      if (asked && why !== 'parent') process.exit(130);
      asked = true;
      resolve(why);
    };
    process.on('SIGTERM', () => ask('SIGTERM'));
    process.on('SIGHUP', () => ask('SIGHUP'));
    // Ctrl-C reaches the whole group; under a parent it is the parent who decides the order of stopping.
    process.on('SIGINT', () => {
      if (process.send === undefined || !process.connected) ask('SIGINT');
    });
    if (process.send === undefined) return;
    process.on('disconnect', () => ask('parent'));
    // The parent may have gone while this process was loading; the event does not come twice.
    if (!process.connected) ask('parent');
  });
}
