/**
 * Asking many slots at once and going on when enough of them have answered. Answers are kept by slot, so no
 * slot counts twice, and late ones still arrive in the same map.
 */

export interface Gathered<T> {
  /** Grows while slots are still answering. */
  readonly found: ReadonlyMap<number, T>;
  /** Was it enough, or has merely everyone ended? */
  readonly enough: boolean;
  /** When every slot has ended. */
  readonly all: Promise<void>;
}

/**
 * Calls `ask` for all slots in parallel. Resolves as soon as `enough` holds of the answers, or when every
 * slot has ended; an answer of null does not count. Rejects only with what `ask` throws, which is a bug, not
 * a fault.
 */
export async function gather<T>(
  slots: readonly number[],
  ask: (slot: number) => Promise<T | null>,
  enough: (found: ReadonlyMap<number, T>) => boolean,
): Promise<Gathered<T>> {
  const found = new Map<number, T>();
  let reached = (): void => undefined;
  const met = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const all = Promise.all(
    slots.map(async (slot) => {
      const answer = await ask(slot);
      if (answer === null) return;
      found.set(slot, answer);
      if (enough(found)) reached();
    }),
  ).then(() => undefined);
  await Promise.race([met, all]);
  // Whoever goes on at `enough` does not look at `all`; a late bug must still not go unheard as a rejection.
  const isEnough = enough(found);
  if (isEnough) all.catch(() => undefined);
  return { found, enough: isEnough, all };
}
