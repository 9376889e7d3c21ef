/** The command line as a process: a share of the wrong uses of its contract. All of them: src/cli/program.test.ts. */
import { beforeAll } from 'vitest';
import { commandLineContract } from '../../src/cli/command-line.contract.ts';
import { buildPrograms, runCommand } from './programs.ts';

beforeAll(() => buildPrograms(), 120_000);

commandLineContract('as a process', runCommand, { every: 9 });
