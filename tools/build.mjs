/**
 * `npm run build`: compiles the product into dist/ when a source changed; with `companions`, also the
 * programs beside it (demo, benchmarks, adversaries) into node_modules/.cache/companions.
 */
import { buildIfStale, installIfNeeded, requireNode } from './project.mjs';

requireNode();
installIfNeeded();
for (const name of ['product', ...process.argv.slice(2)]) {
  process.stderr.write(`${name}: ${buildIfStale(name) ? 'compiled' : 'up to date'}\n`);
}
