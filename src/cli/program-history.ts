/** The commands that read the past and answer for it: `holdfast bucket` and `holdfast writer`. */
import type { Command, Option } from 'commander';
import { processTerminal } from './terminal.ts';
import type { Output, Terminal } from './terminal.ts';

/** Options that all commands share. */
export interface SharedOptions {
  readonly dir: (what: string) => Option;
  readonly path: (flags: string, what: string) => Option;
  readonly json: () => Option;
}

interface Common {
  readonly dir: string;
  readonly json?: boolean;
}

export function addHistory(root: Command, output: Output, shared: SharedOptions): void {
  const of = ({ dir, json }: Common): { dir: string; terminal: Terminal } => ({ dir, terminal: processTerminal(json === true, output) });
  addBucket(root, shared, of);
  addWriter(root, shared, of);
}

type Of = (options: Common) => { dir: string; terminal: Terminal };

function addBucket(root: Command, shared: SharedOptions, of: Of): void {
  const bucket = root.command('bucket').description('state roots of a bucket: signed proof of what it held at a moment');
  const command = (name: string, description: string): Command =>
    bucket.command(name).description(description).addOption(shared.dir('folder of a gateway, or of a cluster')).addOption(shared.json());
  command('root <bucket>', 'sign a root over all live versions; kept in the bucket holdfast-roots unless --out names a file')
    .option('--at <time>', 'only what was written until then, by the writers\' clocks')
    .addOption(shared.path('--out <file>', 'the root goes to this file'))
    .addOption(shared.path('--list <file>', 'the versions that it counts go to this file, as JSON lines'))
    .option('--endpoint <url>', 'S3 door of the gateway, where the folder is not that of a cluster')
    .action(async (name: string, options: Common & { at?: string; out?: string; list?: string; endpoint?: string }) => {
      const { bucketRoot } = await import('./bucket-commands.ts');
      await bucketRoot(name, { ...of(options), at: options.at, out: options.out, list: options.list, endpoint: options.endpoint });
    });
  command('prove <bucket> <key>', 'prove that an object was live at the moment of a root')
    .addOption(shared.path('--root <file>', 'the root').makeOptionMandatory())
    .option('--version-id <id>', 'this version; the newest when it is not named')
    .addOption(shared.path('--out <file>', 'file of the proof; the name of the object with .proof when it is not named'))
    .action(async (name: string, key: string, options: Common & { root: string; versionId?: string; out?: string }) => {
      const { bucketProve } = await import('./bucket-commands.ts');
      await bucketProve(name, key, { ...of(options), root: options.root, versionId: options.versionId, out: options.out });
    });
  command('verify', 'check a root or a proof offline; with --online, that the nodes still stand by the root')
    .addOption(shared.path('--root <file>', 'a root'))
    .addOption(shared.path('--proof <file>', 'a proof'))
    .option('--online', 'ask the nodes too')
    .addOption(shared.path('--config <file>', 'root document of the cluster; the one in the folder when it is not named'))
    .action(async (options: Common & { root?: string; proof?: string; online?: boolean; config?: string }) => {
      const { bucketVerify } = await import('./bucket-commands.ts');
      await bucketVerify({ ...of(options), root: options.root, proof: options.proof, online: options.online === true, config: options.config });
    });
  command('compare <old-root> [new-root]', 'what came and went since a root, and why; exit code 3 when something is gone unexplained')
    .addOption(shared.path('--list <file>', 'the list that was written with the old root'))
    .action(async (older: string, newer: string | undefined, options: Common & { list?: string }) => {
      const { bucketCompare } = await import('./bucket-commands.ts');
      await bucketCompare(older, newer, { ...of(options), list: options.list });
    });
}

function addWriter(root: Command, shared: SharedOptions, of: Of): void {
  const writer = root.command('writer').description('the gateways that may write, and what to do when the key of one is stolen');
  const command = (name: string, description: string): Command =>
    writer.command(name).description(description).addOption(shared.dir('folder of a good gateway, or of a cluster')).addOption(shared.json());
  const since = (of: Command): Command =>
    of.requiredOption('--since <time>', 'the moment, a date or Unix milliseconds').option('--bucket <name>', 'this bucket alone');
  command('list', 'writers of the configuration, and who is revoked').action(async (options: Common) => {
    const { writerList } = await import('./writer-commands.ts');
    await writerList(of(options));
  });
  since(command('writes <gateway-id>', 'everything that this key wrote since a moment, and what it replaced or deleted')).action(
    async (gateway: string, options: Common & { since: string; bucket?: string }) => {
      const { writerWrites } = await import('./writer-commands.ts');
      await writerWrites(gateway, { ...of(options), since: options.since, bucket: options.bucket });
    },
  );
  command('revoke <gateway-id>', 'sign as an admin that this key is obeyed no more; with enough signatures, bring it to the nodes')
    .addOption(shared.path('--admin <folder>', "folder of the admin's keys; `admin` in the folder when it is not named"))
    .addOption(shared.path('--statement <file>', 'the statement, as it goes from admin to admin'))
    .action(async (gateway: string, options: Common & { admin?: string; statement?: string }) => {
      const { writerRevoke } = await import('./writer-commands.ts');
      await writerRevoke(gateway, { ...of(options), admin: options.admin, statement: options.statement });
    });
  since(command('restore <gateway-id>', 'bring the versions before it back, as new versions; nothing is destroyed'))
    .option('--dry-run', 'only say what would be done')
    .option('--endpoint <url>', 'S3 door of the gateway, where the folder is not that of a cluster')
    .action(async (gateway: string, options: Common & { since: string; bucket?: string; dryRun?: boolean; endpoint?: string }) => {
      const { writerRestore } = await import('./writer-commands.ts');
      await writerRestore(gateway, { ...of(options), since: options.since, bucket: options.bucket, dryRun: options.dryRun === true, endpoint: options.endpoint });
    });
}
