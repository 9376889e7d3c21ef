/** The commands on a gateway's audit log: `holdfast log`. */
import type { Command } from 'commander';
import { processTerminal } from './terminal.ts';
import type { Output } from './terminal.ts';
import type { SharedOptions } from './program-history.ts';

interface Common {
  readonly dir: string;
  readonly json?: boolean;
}

interface Filters {
  readonly since?: string;
  readonly bucket?: string;
  readonly key?: string;
  readonly accessKey?: string;
  readonly operation?: string;
  readonly failed?: boolean;
}

export function addLog(root: Command, output: Output, shared: SharedOptions): void {
  const log = root.command('log').description('the audit log of a gateway: every request and refusal, and proof of it');
  const command = (name: string, description: string): Command =>
    log.command(name).description(description).addOption(shared.dir('folder of a gateway, or of a cluster')).addOption(shared.json());
  const filtered = (one: Command): Command =>
    one
      .option('--since <time>', 'from this moment on, a date or Unix milliseconds')
      .option('--bucket <name>', 'requests on this bucket')
      .option('--key <name>', 'requests on this object; needs --bucket')
      .option('--access-key <id>', 'requests by this access key')
      .option('--operation <name>', 'requests of this kind, as PutObject')
      .option('--failed', 'what was refused or failed');
  const of = ({ dir, json }: Common) => ({ dir, terminal: processTerminal(json === true, output) });
  const filterOf = ({ since, bucket, key, accessKey, operation, failed }: Filters) => ({ since, bucket, key, accessKey, operation, failed: failed === true });
  filtered(command('tail', 'the last entries; with --follow those that come'))
    .option('--last <n>', 'so many', Number, 50)
    .option('--follow', 'go on')
    .action(async (options: Common & Filters & { last: number; follow?: boolean }) => {
      const { logTail } = await import('./log-commands.ts');
      await logTail({ ...of(options), ...filterOf(options), last: options.last, follow: options.follow === true });
    });
  filtered(command('export', 'all entries as JSON lines')).action(async (options: Common & Filters) => {
    const { logExport } = await import('./log-commands.ts');
    await logExport({ ...of(options), ...filterOf(options) });
  });
  command('prove <entry>', 'prove one entry, named by its number or its request id')
    .addOption(shared.path('--out <file>', 'file of the proof').makeOptionMandatory())
    .action(async (which: string, options: Common & { out: string }) => {
      const { logProve } = await import('./log-commands.ts');
      await logProve({ ...of(options), which, out: options.out });
    });
  command('verify [proof]', 'check a proof offline; without one, the whole log against what the nodes keep of it')
    .addOption(shared.path('--config <file>', 'root document of the cluster; the one in the folder when it is not named'))
    .action(async (file: string | undefined, options: Common & { config?: string }) => {
      const { logVerify, logVerifyFile } = await import('./log-commands.ts');
      if (file === undefined) await logVerify(of(options));
      else await logVerifyFile({ ...of(options), file, config: options.config });
    });
}
