/**
 * The product's gateway as a process whose lifecycle days pass in seconds, as the conformance suite counts them.
 * All else is as in `holdfast gateway run`.
 *
 *   node short-days-gateway.js gateway run --dir FOLDER --config FILE --listen HOST:PORT
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
