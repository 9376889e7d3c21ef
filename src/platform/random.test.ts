import { SeededRandom } from '../sim/seeded-random.ts';
import { randomContract } from './random.contract.ts';
import { SystemRandom } from './random.ts';

randomContract('the system', () => new SystemRandom());
randomContract('a seed', (stream) => new SeededRandom(`contract ${stream}`));
randomContract('a fork of a seed', (stream) => new SeededRandom('contract').fork(stream));
