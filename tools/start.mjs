/**
 * `npm start` on a fresh clone: checks Node, installs and compiles what is not up to date, then runs
 * `holdfast up`. With a command (`npm start -- verify --dir D`) it runs that one; with `--script tools/demo`
 * it runs a program beside the product (demo, benchmarks). Whatever ends this process ends the program, orderly.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { PROJECTS, buildIfStale, installIfNeeded, requireNode } from './project.mjs';

const COMMANDS = new Set(['up', 'put', 'get', 'ls', 'rm', 'stat', 'verify', 'status', 'cluster', 'node', 'gateway', 'access', 'evidence', 'webhook', 'usage', 'bucket', 'writer', 'help']);

requireNode();
installIfNeeded();

let args = process.argv.slice(2);
let program;
if (args[0] === '--script') {
  buildIfStale('product');
  buildIfStale('companions');
  program = path.join(PROJECTS.companions.out, `${args[1]}.js`);
  args = args.slice(2);
} else {
  buildIfStale('product');
  program = path.join(PROJECTS.product.out, 'cli', 'main.js');
  if (!COMMANDS.has(args[0]) && args[0] !== '--version' && args[0] !== '--help') args = ['up', ...args];
}

// Over the channel the program learns that this process is gone, however it ended.
const child = spawn(process.execPath, [program, ...args], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
const stop = () => child.kill('SIGTERM');
// A terminal sends Ctrl-C to the whole group, a supervisor sends a signal to this process alone.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
child.on('error', (error) => {
  process.stderr.write(`cannot run ${program}: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
