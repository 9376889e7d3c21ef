/**
 * The product's gateway as a process of the conformance suite, in all as in `holdfast gateway run`. It is started
 * apart from the command line because the suite waits for lifecycle rules by short days, which no user can set.
 *
 *   node suite-gateway.js gateway run --dir FOLDER --config FILE --listen HOST:PORT
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { exitCodeOf } from '../../../src/cli/exit-codes.ts';
import { runGateway } from '../../../src/cli/gateway-run.ts';
import { LIFECYCLE_DAY_SECONDS } from './suite.ts';

const { values } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string', default: '' }, config: { type: 'string' }, listen: { type: 'string', default: '' } },
});
const { dir, config, listen } = values;
const EVERY_MS = 200;
const lifecycle = { time: { dayMs: LIFECYCLE_DAY_SECONDS * 1000, roundMs: EVERY_MS }, pauseMs: EVERY_MS };
const atWork = setInterval(() => undefined, 2 ** 30);
try {
  await runGateway({ dir, config, listen, tlsCert: undefined, tlsKey: undefined, lifecycle });
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
clearInterval(atWork);
process.exit();
