import { clockContract } from './clock.contract.ts';
import { SystemClock } from './clock.ts';

clockContract('the system', () => ({
  clock: new SystemClock(),
  pass: (ms) => new Promise((resolve) => void setTimeout(resolve, ms)),
}));
