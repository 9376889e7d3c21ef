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

const { values } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string', default: '' }, config: { type: 'string' }, listen: { type: 'string', default: '' } },
});
const { dir, config, listen } = values;
const atWork = setInterval(() => undefined, 2 ** 30);
try {
  await runGateway({ dir, config, listen, tlsCert: undefined, tlsKey: undefined });
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
clearInterval(atWork);
process.exit();
