/**
 * The commands of Holdfast and their arguments: runs one command line and turns its failure into one line on
 * standard error and an exit code (exit-codes.ts, docs/cli.md). Commands are loaded when they are asked for.
 * An argument that means nothing, or two things, is refused before anything is read or made.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { utf8 } from '../base/bytes.ts';
import { OperationError } from '../base/errors.ts';
import { SOFTWARE_VERSION } from '../base/version.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { addHistory } from './program-history.ts';
import { addLog } from './program-log.ts';
import { processTerminal } from './terminal.ts';
import type { Output, Terminal } from './terminal.ts';

const DEFAULT_DIR = './holdfast-data';
const DEFAULT_PORT = 9000;
/** What Linux takes for one name and for a whole path. */
const NAME_BYTES_MAX = 255;
const PATH_BYTES_MAX = 4095;

interface Common {
  readonly json?: boolean;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.');
  return Number(text);
}

function portNumber(text: string): number {
  const port = wholeNumber(text);
  if (port < 1 || port > 65_535) throw new InvalidArgumentError('A port is a number from 1 to 65535.');
  return port;
}

function rateNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('It is not a whole number above 0.');
  return Number(text);
}

/** A name of a folder or file; an empty one, as an unset variable leaves it, would mean the present folder. */
function pathName(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  const isTooLong = byteLength(text) > PATH_BYTES_MAX || text.split('/').some((name) => byteLength(name) > NAME_BYTES_MAX);
  if (isTooLong) throw new InvalidArgumentError('The name is too long.');
  return text;
}

function byteLength(text: string): number {
  return utf8(text).length;
}

const pathOption = (flags: string, what: string): Option => new Option(flags, what).argParser(pathName);
const dirOption = (what: string): Option => pathOption('--dir <folder>', what).default(DEFAULT_DIR);
const memberOption = (what: string): Option => pathOption('--dir <folder>', what).makeOptionMandatory();
const listOption = (flags: string, what: string): Option => {
  const collect = (value: string, before: readonly string[]): readonly string[] => [...before, pathName(value)];
  return new Option(flags, what).argParser(collect).default([] as readonly string[]);
};
const jsonOption = (): Option => new Option('--json', 'one JSON object a line instead of text');

/** Runs one command line, without the names of the program, and returns its exit code. Never rejects. */
export async function runProgram(args: readonly string[], output: Output): Promise<number> {
  try {
    await program(output).parseAsync(args, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    // Without a command the help was shown, and says it all.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    const failure = error instanceof CommanderError ? usageError(error) : error;
    processTerminal(args.includes('--json'), output).fail(failure);
    return exitCodeOf(failure);
  }
}

function usageError({ message }: CommanderError): OperationError {
  const said = message.replace(/^error: /, '').replace(/[.\n]*$/, '');
  return new OperationError('BAD_ARGUMENT', `${said.charAt(0).toUpperCase()}${said.slice(1)}.`, {
    remedy: '`holdfast help COMMAND` shows what is accepted.',
  });
}

function program(output: Output): Command {
  const root = new Command('holdfast')
    .description("Object storage that keeps its promises when its nodes don't.")
    .version(SOFTWARE_VERSION)
    .configureOutput({
      writeOut: (text) => void output.stdout.write(text),
      writeErr: (text) => void output.stderr.write(text),
      // Said by runProgram, in the voice of all errors.
      outputError: () => undefined,
    })
    .exitOverride();
  addUp(root, output);
  addObjectCommands(root, output);
  addChecks(root, output);
  addNode(root, output);
  addGateway(root, output);
  addController(root, output);
  addAccess(root, output);
  addWebhook(root, output);
  addEvidence(root, output);
  addHistory(root, output, { dir: dirOption, path: pathOption, json: jsonOption });
  addLog(root, output, { dir: dirOption, path: pathOption, json: jsonOption });
  addCluster(root, output);
  refuseRepeated(root);
  return root;
}

/** Of an option given twice one would be passed over without a word. */
function refuseRepeated(command: Command): void {
  for (const option of command.options.filter(({ defaultValue }) => !Array.isArray(defaultValue))) {
    let isGiven = false;
    command.on(`option:${option.name()}`, () => {
      if (isGiven) command.error(`error: option '${option.long ?? option.flags}' was given twice`);
      isGiven = true;
    });
  }
  for (const inner of command.commands) refuseRepeated(inner);
}

function addUp(root: Command, output: Output): void {
  root
    .command('up')
    .description('run a whole cluster on this machine: storage nodes and a gateway, each its own process')
    .addOption(dirOption('folder of the cluster; made at the first start'))
    .option('--port <port>', 'port of the S3 door on 127.0.0.1', portNumber, DEFAULT_PORT)
    .option('--nodes <n>', 'storage nodes (first start only; default 6)', wholeNumber)
    .option('--faults <f>', 'nodes that may be faulty, n >= 3f+1 (first start only; default 1)', wholeNumber)
    .option('--data <k>', 'cells that restore a stripe, f+1 <= k <= n-2f (first start only; default 4)', wholeNumber)
    .addOption(jsonOption())
    .action(async (options: Common & { dir: string; port: number; nodes?: number; faults?: number; data?: number }) => {
      const { runUp } = await import('./up.ts');
      const asked = { n: options.nodes, f: options.faults, k: options.data };
      await runUp({ dir: options.dir, port: options.port, asked, terminal: processTerminal(options.json === true, output) });
    });
}

function addObjectCommands(root: Command, output: Output): void {
  const command = (name: string, description: string): Command =>
    root.command(name).description(description).addOption(dirOption('folder of a running cluster')).addOption(jsonOption());
  type ObjectOptions = Common & { dir: string };
  const of = (options: ObjectOptions): { dir: string; terminal: Terminal } => ({ dir: options.dir, terminal: processTerminal(options.json === true, output) });
  command('put <file> <bucket/key>', 'store a file')
    .option('--make-bucket', 'make the bucket when it does not exist')
    .option('--content-type <type>', 'media type of the content', 'application/octet-stream')
    .action(async (file: string, target: string, options: ObjectOptions & { makeBucket?: boolean; contentType: string }) => {
      const { putCommand } = await import('./object-commands.ts');
      await putCommand(file, target, { ...of(options), makeBucket: options.makeBucket === true, contentType: options.contentType });
    });
  command('get <bucket/key> [file]', 'read an object into a file, a folder, or - for standard output')
    .option('--as-of <time>', 'as it was then: a date, or the file of a state root')
    .action(async (source: string, file: string | undefined, options: ObjectOptions & { asOf?: string }) => {
      const { getCommand } = await import('./object-commands.ts');
      await getCommand(source, file, { ...of(options), asOf: options.asOf });
    });
  command('ls [bucket/prefix]', 'list buckets, or the objects of one')
    .option('--recursive', 'all objects below the prefix, not one level')
    .option('--as-of <time>', 'all objects as they were then: a date, or the file of a state root')
    .action(async (target: string | undefined, options: ObjectOptions & { recursive?: boolean; asOf?: string }) => {
      const { lsCommand } = await import('./object-commands.ts');
      await lsCommand(target, { ...of(options), recursive: options.recursive === true, asOf: options.asOf });
    });
  command('usage [bucket]', 'what buckets hold, and what they may').action(async (bucket: string | undefined, options: ObjectOptions) => {
    const { usageCommand } = await import('./object-commands.ts');
    await usageCommand(bucket, of(options));
  });
  command('rm <bucket/key>', 'remove an object, or an empty bucket').action(async (target: string, options: ObjectOptions) => {
    const { rmCommand } = await import('./object-commands.ts');
    await rmCommand(target, of(options));
  });
  command('stat <bucket/key>', 'size, etag, date and metadata of an object').action(async (target: string, options: ObjectOptions) => {
    const { statCommand } = await import('./object-commands.ts');
    await statCommand(target, of(options));
  });
}

function addChecks(root: Command, output: Output): void {
  root
    .command('status')
    .description('what the processes of a cluster folder say about themselves')
    .addOption(dirOption('folder of the cluster'))
    .addOption(jsonOption())
    .action(async (options: Common & { dir: string }) => {
      const { statusCommand } = await import('./status-command.ts');
      await statusCommand(options.dir, processTerminal(options.json === true, output));
    });
  root
    .command('verify')
    .description('check logs, certificates and every cell of all nodes, directly; exit code 3 on any damage')
    .addOption(dirOption('folder of a running cluster, or of a gateway'))
    .addOption(jsonOption())
    .action(async (options: Common & { dir: string }) => {
      const { verifyCommand } = await import('./verify-command.ts');
      await verifyCommand({ dir: options.dir, terminal: processTerminal(options.json === true, output) });
    });
}

function addNode(root: Command, output: Output): void {
  const node = root.command('node').description('one storage node');
  node
    .command('init')
    .description('make a node: its keys in its folder, its join request on standard output')
    .addOption(memberOption('folder of the node'))
    .requiredOption('--address <host:port>', 'where the other members reach it')
    .requiredOption('--domain <name>', 'trust domain: who operates it; one node a domain')
    .action(async (options: { dir: string; address: string; domain: string }) => {
      const { nodeInit } = await import('./init-commands.ts');
      output.stdout.write(await nodeInit(options));
    });
  node
    .command('run')
    .description('run a node until it is stopped')
    .addOption(memberOption('folder of the node'))
    .addOption(pathOption('--config <file>', 'signed configuration; needed at the first run'))
    .option('--listen <host:port>', 'where to listen, when it differs from its address in the configuration')
    .action(async (options: { dir: string; config?: string; listen?: string }) => {
      const { runNode } = await import('./node-run.ts');
      await runNode({ dir: options.dir, config: options.config, listen: options.listen });
    });
}

function addGateway(root: Command, output: Output): void {
  const gateway = root.command('gateway').description('the S3 door of one owner');
  gateway
    .command('init')
    .description('make a gateway: its keys and the owner\'s secret in its folder, its join request on standard output')
    .addOption(memberOption('folder of the gateway'))
    .addOption(pathOption('--owner-from <folder>', 'share the owner of the gateway in that folder instead of making a new one'))
    .action(async (options: { dir: string; ownerFrom?: string }) => {
      const { gatewayInit } = await import('./init-commands.ts');
      output.stdout.write(await gatewayInit({ dir: options.dir, ownerFrom: options.ownerFrom }));
    });
  addGatewayRun(gateway);
  gateway
    .command('authority')
    .description('let a controller on another machine repair for a day: a document on standard output')
    .addOption(dirOption('folder of a gateway, or of a cluster'))
    .requiredOption('--controller <id>', 'its id in the configuration, or how that begins')
    .action(async (options: { dir: string; controller: string }) => {
      const { gatewayAuthority } = await import('./controller-commands.ts');
      output.stdout.write(await gatewayAuthority(options.dir, options.controller));
    });
}

function addGatewayRun(gateway: Command): void {
  gateway
    .command('run')
    .description('run a gateway until it is stopped')
    .addOption(memberOption('folder of the gateway'))
    .addOption(pathOption('--config <file>', 'signed configuration; needed at the first run'))
    .option('--port <port>', 'port of the S3 door on 127.0.0.1', portNumber, DEFAULT_PORT)
    .option('--listen <host:port>', 'address of the S3 door; beyond loopback it needs TLS')
    .addOption(pathOption('--tls-cert <file>', 'certificate chain of the S3 door, PEM'))
    .addOption(pathOption('--tls-key <file>', 'its private key, PEM'))
    .option('--uploads-max <n>', 'unfinished uploads that the buckets of one account may hold', rateNumber)
    .option('--upload-bytes-max <n>', 'bytes of their parts', rateNumber)
    .option('--roots-every-hours <n>', 'sign a state root of every bucket so often', rateNumber)
    .option('--roots-kept <n>', 'state roots of each bucket that are kept (default 30)', rateNumber)
    .action(async (options: { dir: string; config?: string; port: number; listen?: string; tlsCert?: string; tlsKey?: string; uploadsMax?: number; uploadBytesMax?: number; rootsEveryHours?: number; rootsKept?: number }) => {
      const { runGateway } = await import('./gateway-run.ts');
      const { listen, port, ...rest } = options;
      const { dir, config, tlsCert, tlsKey, uploadsMax, uploadBytesMax, rootsEveryHours, rootsKept } = rest;
      await runGateway({ dir, config, listen: listen ?? `127.0.0.1:${port}`, tlsCert, tlsKey, uploadsMax, uploadBytesMax, rootsEveryHours, rootsKept });
    });
}

function addController(root: Command, output: Output): void {
  const controller = root.command('controller').description('audits every node and repairs what is lost; holds no key of the owner');
  controller
    .command('init')
    .description('make a controller: its keys in its folder, its join request on standard output')
    .addOption(memberOption('folder of the controller'))
    .action(async (options: { dir: string }) => {
      const { controllerInit } = await import('./init-commands.ts');
      output.stdout.write(await controllerInit(options.dir));
    });
  controller
    .command('run')
    .description('run a controller until it is stopped')
    .addOption(memberOption('folder of the controller'))
    .addOption(pathOption('--config <file>', 'signed configuration; needed at the first run'))
    .addOption(pathOption('--gateway-dir <folder>', 'folder of a gateway that runs on this machine, which gives authority to repair'))
    .addOption(pathOption('--authority <file>', 'file with authority to repair, read again and again'))
    .option('--audit-period <seconds>', 'within so long the audits reach what they promise; a week unless given', rateNumber)
    .option('--repair-bytes-per-second <n>', 'bytes that repair may move', rateNumber)
    .action(async (options: { dir: string; config?: string; gatewayDir?: string; authority?: string; auditPeriod?: number; repairBytesPerSecond?: number }) => {
      const { runController } = await import('./controller-run.ts');
      const { dir, config, gatewayDir, authority, auditPeriod: auditPeriodSeconds, repairBytesPerSecond } = options;
      await runController({ dir, config, gatewayDir, authority, auditPeriodSeconds, repairBytesPerSecond });
    });
  type Options = Common & { dir: string };
  const shown = (name: string, description: string): Command =>
    root.command(name).description(description).addOption(dirOption('folder of a running cluster, or of its controller')).addOption(jsonOption());
  const of = (options: Options): { dir: string; terminal: Terminal } => ({ dir: options.dir, terminal: processTerminal(options.json === true, output) });
  shown('audit', 'what challenges have shown of each node, how sure that is, and what it cost').action(async (options: Options) => {
    const { auditCommand } = await import('./controller-commands.ts');
    await auditCommand(of(options));
  });
  shown('repair', 'how whole the cluster is, what is being repaired, and how long that will take').action(async (options: Options) => {
    const { repairCommand } = await import('./controller-commands.ts');
    await repairCommand(of(options));
  });
}

function addAccess(root: Command, output: Output): void {
  const access = root.command('access').description('accounts and access keys of a gateway; a running one sees changes within a second');
  type Options = Common & { dir: string };
  const command = (name: string, description: string): Command =>
    access.command(name).description(description).addOption(dirOption('folder of a gateway, or of a cluster')).addOption(jsonOption());
  const of = (options: Options): { dir: string; terminal: Terminal } => ({ dir: options.dir, terminal: processTerminal(options.json === true, output) });
  command('create', 'make an access key; its secret is shown this once')
    .option('--account <name>', "name or id of its account, made when it is new; default: the cluster's owner")
    .option('--email <address>', 'e-mail address of a new account')
    .addOption(pathOption('--policy <file>', 'policy document that narrows what the key may do'))
    .option('--expires-days <days>', 'days until it ends', wholeNumber)
    .option('--requests-per-second <n>', 'requests it may send', rateNumber)
    .option('--bytes-per-second <n>', 'bytes it may send and receive', rateNumber)
    .action(async (options: Options & { account?: string; email?: string; policy?: string; expiresDays?: number; requestsPerSecond?: number; bytesPerSecond?: number }) => {
      const { accessCreate } = await import('./access-commands.ts');
      const { account, email, policy, expiresDays, requestsPerSecond, bytesPerSecond } = options;
      await accessCreate({ ...of(options), account, email, policy, expiresDays, requestsPerSecond, bytesPerSecond });
    });
  command('list', 'access keys, their limits and when each was last used').action(async (options: Options) => {
    const { accessList } = await import('./access-commands.ts');
    await accessList(of(options));
  });
  command('rotate <access-key>', 'make a new key with the same terms and end the old one')
    .option('--keep-old-hours <hours>', 'let the old one go on for so long', wholeNumber, 0)
    .action(async (accessKeyId: string, options: Options & { keepOldHours: number }) => {
      const { accessRotate } = await import('./access-commands.ts');
      await accessRotate({ ...of(options), accessKeyId, keepOldHours: options.keepOldHours });
    });
  command('quota', 'bytes that a bucket or an account may hold; without --bytes the quota ends')
    .option('--bucket <name>', 'the bucket')
    .option('--account <name>', 'name or id of the account')
    .option('--bytes <n>', 'bytes', rateNumber)
    .action(async (options: Options & { bucket?: string; account?: string; bytes?: number }) => {
      const { accessQuota } = await import('./access-commands.ts');
      await accessQuota({ ...of(options), bucket: options.bucket, account: options.account, bytes: options.bytes });
    });
  command('revoke <access-key>', 'end an access key').action(async (accessKeyId: string, options: Options) => {
    const { accessRevoke } = await import('./access-commands.ts');
    await accessRevoke({ ...of(options), accessKeyId });
  });
}

function addEvidence(root: Command, output: Output): void {
  const evidence = root.command('evidence').description('proof of what members did, verified offline by anyone who has the root document');
  type Options = Common & { dir: string; config?: string };
  const command = (name: string, description: string): Command =>
    evidence
      .command(name)
      .description(description)
      .addOption(dirOption('folder of a gateway, or of a cluster'))
      .addOption(pathOption('--config <file>', 'root document of the cluster; the one in the folder when it is not named'))
      .addOption(jsonOption());
  const of = ({ dir, config, json }: Options) => ({ dir, config, terminal: processTerminal(json === true, output) });
  command('list', 'what the gateway has come by, judged again').action(async (options: Options) => {
    const { evidenceList } = await import('./evidence-commands.ts');
    await evidenceList(of(options));
  });
  const inFile = (name: string, description: string, mustProve: boolean): void => {
    command(`${name} <file>`, description).action(async (file: string, options: Options) => {
      const { evidenceOf } = await import('./evidence-commands.ts');
      await evidenceOf({ ...of(options), file, mustProve });
    });
  };
  inFile('show', 'what was signed, why it contradicts, and who did it', false);
  inFile('verify', 'the same, and fails when the file proves nothing', true);
}

function addWebhook(root: Command, output: Output): void {
  const webhook = root.command('webhook').description('whom a gateway may tell of events; a running one sees changes within a second');
  type Options = Common & { dir: string };
  const command = (name: string, description: string): Command =>
    webhook.command(name).description(description).addOption(dirOption('folder of a gateway, or of a cluster')).addOption(jsonOption());
  const of = (options: Options): { dir: string; terminal: Terminal } => ({ dir: options.dir, terminal: processTerminal(options.json === true, output) });
  command('add <name> <url>', 'let buckets name a receiver; the secret that signs what it is told is shown this once')
    .action(async (name: string, url: string, options: Options) => {
      const { webhookAdd } = await import('./webhook-commands.ts');
      await webhookAdd({ ...of(options), name, url });
    });
  command('list', 'the receivers').action(async (options: Options) => {
    const { webhookList } = await import('./webhook-commands.ts');
    await webhookList(of(options));
  });
  command('remove <name>', 'tell a receiver nothing more').action(async (name: string, options: Options) => {
    const { webhookRemove } = await import('./webhook-commands.ts');
    await webhookRemove({ ...of(options), name });
  });
}

function addCluster(root: Command, output: Output): void {
  root
    .command('cluster')
    .description('the signed configuration of a cluster')
    .command('init')
    .description('make and sign the first configuration from join requests')
    .addOption(memberOption("folder for the administrator's keys and the configuration"))
    .addOption(listOption('--join <file>', 'join request of a storage node, in order of slots; repeat it'))
    .addOption(listOption('--gateway <file>', 'join request of a gateway; may be repeated'))
    .addOption(listOption('--controller <file>', 'join request of a controller; may be repeated'))
    .option('--f <f>', 'nodes that may be faulty', wholeNumber, 1)
    .option('--k <k>', 'cells that restore a stripe', wholeNumber, 4)
    .addOption(jsonOption())
    .action(async (options: Common & { dir: string; join: string[]; gateway: string[]; controller: string[]; f: number; k: number }) => {
      const { clusterInit } = await import('./init-commands.ts');
      const { dir, join, gateway, controller, f, k } = options;
      await clusterInit({ dir, joins: join, gateways: gateway, controllers: controller, f, k, terminal: processTerminal(options.json === true, output) });
    });
}

