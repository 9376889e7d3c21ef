#!/usr/bin/env node
/**
 * The process of a command: what program.ts returns is its exit code. A reader of standard output that went
 * away, as `head` does, is no failure of the command, and must not end a cluster that `up` runs; output that
 * cannot be written for another reason is one.
 */
import process from 'node:process';
import { OperationError } from '../base/errors.ts';
import { EXIT } from './exit-codes.ts';
import { runProgram } from './program.ts';
import { processTerminal } from './terminal.ts';

let lost: Error | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') lost ??= error;
});
process.stderr.on('error', () => undefined);

// Timers of the ports do not keep a process alive; a command that waits for one is still at work.
const atWork = setInterval(() => undefined, 2 ** 30);
process.exitCode = await runProgram(process.argv.slice(2), process);
clearInterval(atWork);
// What a command leaves open (an idle connection, the channel to a parent) must not keep the process.
process.stdout.write('', () => {
  if (lost !== undefined && process.exitCode === EXIT.ok) {
    processTerminal(false).fail(new OperationError('DISK_ERROR', `Standard output cannot be written: ${lost.message}.`, { cause: lost }));
    process.exitCode = EXIT.failure;
  }
  process.exit();
});
