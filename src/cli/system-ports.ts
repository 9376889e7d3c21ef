/** The clock and the randomness of this machine, one of each for the whole process. */
import type { Clock, Random } from '../base/ports.ts';
import { SystemClock } from '../platform/clock.ts';
import { SystemRandom } from '../platform/random.ts';

export const systemClock: Clock = new SystemClock();
export const systemRandom: Random = new SystemRandom();
