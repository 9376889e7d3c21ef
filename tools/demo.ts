/**
 * `npm run demo`: what Holdfast promises, shown on real data. Stores this project's own tree and one file of
 * random bytes in a cluster of six node processes, then takes healthy copies of that cluster and does to each
 * what a storage node should never do: die, rot, lie. After each step everything is read back and compared,
 * and what the gateway and `verify` saw is printed. Never more than f = 1 node is faulty at once, except in
 * the last step, where two are down and a PUT must be refused. Exit code 1 when anything is not as promised.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { isOperationError } from '../src/base/errors.ts';
import { S3Client } from '../src/cli/s3-client.ts';
import { formatBytes } from '../src/cli/terminal.ts';
import { Members, Program, buildPrograms, readEndpointFile, root, runCommand } from '../test/cluster/programs.ts';
import type { Role } from '../test/cluster/programs.ts';

const MiB = 1024 * 1024;
const BUCKET = 'demo';
/** Client deadlines promise an answer to a PUT without a quorum within this time. */
const REFUSAL_MS = 10_000;
const ALL_CORRECT: readonly Role[] = ['correct', 'correct', 'correct', 'correct', 'correct', 'correct'];

interface Input {
  readonly key: string;
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

interface Finding {
  readonly slot: number;
  readonly reachable: boolean;
  readonly found: Readonly<Record<string, number>>;
  readonly examples: readonly string[];
}

class Unexpected extends Error {}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Unexpected(what);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

/** The project's tree without what is installed, compiled or versioned, and a file of random bytes. */
async function gatherInput(folder: string, bigBytes: number): Promise<Input[]> {
  const big = path.join(folder, 'random.bin');
  const handle = await fs.open(big, 'w');
  for (let at = 0; at < bigBytes; at += MiB) await handle.write(randomBytes(Math.min(MiB, bigBytes - at)));
  await handle.close();
  const inputs = [{ key: 'random.bin', file: big }];
  const skip = new Set(['node_modules', '.git', 'dist', 'holdfast-data', 'coverage']);
  const walk = async (below: string): Promise<void> => {
    for (const entry of await fs.readdir(path.join(root, below), { withFileTypes: true })) {
      if (skip.has(entry.name)) continue;
      const name = path.posix.join(below, entry.name);
      if (entry.isDirectory()) await walk(name);
      else if (entry.isFile()) inputs.push({ key: `tree/${name}`, file: path.join(root, name) });
    }
  };
  await walk('');
  return Promise.all(
    inputs.map(async ({ key, file }) => ({ key, file, size: (await fs.stat(file)).size, sha256: await hashFile(file) })),
  );
}

class Demo {
  readonly #work: string;
  readonly #healthy: string;
  readonly #port: number;
  readonly #inputs: readonly Input[];
  #steps = 0;

  constructor(work: string, port: number, inputs: readonly Input[]) {
    this.#work = work;
    this.#healthy = path.join(work, 'healthy');
    this.#port = port;
    this.#inputs = inputs;
  }

  get steps(): number {
    return this.#steps;
  }

  async run(): Promise<void> {
    await this.#step('store everything in a healthy cluster', () => this.#store());
    await this.#step('kill a node', () => this.#withCopy(ALL_CORRECT, (members, client) => this.#killOne(members, client)));
    await this.#step('flip bytes in every segment of a node', () => this.#rot(1, () => true));
    await this.#step('flip bytes in every cell segment of a node, and leave its log alone', () =>
      this.#rot(3, (name) => !name.startsWith('log')),
    );
    const liar = ALL_CORRECT.map((role, slot) => (slot === 4 ? 'otherCell' : role));
    await this.#step('replace a node by one that answers with another cell that looks valid', () =>
      this.#withCopy(liar, (members, client) => this.#withLiar(members, client)),
    );
    await this.#step(`with more than f nodes down, a PUT is refused within ${REFUSAL_MS / 1000} s`, () =>
      this.#withCopy(ALL_CORRECT, (members, client) => this.#refuse(members, client)),
    );
  }

  async #step(title: string, work: () => Promise<void>): Promise<void> {
    this.#steps += 1;
    const started = performance.now();
    say(`\nstep ${this.#steps}: ${title}`);
    await work();
    say(`  passed in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }

  async #store(): Promise<void> {
    const up = new Program(['up', '--dir', this.#healthy, '--port', String(this.#port), '--json']);
    try {
      await up.event('ready');
      const client = this.#client(this.#healthy);
      const started = performance.now();
      await client.createBucket(BUCKET);
      let next = 0;
      const put = async (): Promise<void> => {
        for (let input = this.#inputs[next]; input !== undefined; input = this.#inputs[next]) {
          next += 1;
          const { file, size } = input;
          await client.put(BUCKET, input.key, { size, open: () => createReadStream(file) }, 'application/octet-stream');
        }
      };
      await Promise.all(Array.from({ length: 8 }, put));
      const bytes = this.#inputs.reduce((sum, input) => sum + input.size, 0);
      say(`  stored ${this.#inputs.length} objects, ${formatBytes(bytes)}, in ${((performance.now() - started) / 1000).toFixed(1)} s`);
      await this.#readAll(client);
      const accused = await this.#verify(this.#healthy);
      expect(accused.length === 0, `verify finds nothing in a healthy cluster: ${JSON.stringify(accused)}`);
      client.close();
    } finally {
      await up.stop();
    }
  }

  async #killOne(members: Members, client: S3Client): Promise<void> {
    await members.kill(2);
    say('  node 2 was ended by SIGKILL');
    await this.#readAll(client);
    await client.put(BUCKET, 'written/while-one-is-dead', textBody('still writable'), 'text/plain');
    say('  and a new object was stored');
    await this.#report(members, [2]);
  }

  /** The node's folder is damaged while it is stopped: one byte in each 256 KiB of each segment chosen. */
  async #rot(slot: number, isChosen: (segment: string) => boolean): Promise<void> {
    const dir = await this.#copy();
    const folder = path.join(dir, `node-${slot}`, 'journal');
    let flips = 0;
    for (const name of (await fs.readdir(folder)).filter(isChosen)) flips += await flipBytes(path.join(folder, name));
    say(`  ${flips} bytes of node ${slot} were flipped`);
    await this.#run(dir, ALL_CORRECT, async (members, client) => {
      if (!(await members.nodeServes(slot))) {
        const last = members.nodes.get(slot)?.stderr.trim().split('\n').at(-1) ?? '';
        say(`  node ${slot} noticed by itself and stays down: ${last}`);
      }
      await this.#readAll(client);
      await this.#report(members, [slot]);
    });
  }

  async #withLiar(members: Members, client: S3Client): Promise<void> {
    expect(await members.nodeServes(4), 'the lying node serves');
    await this.#readAll(client);
    await this.#report(members, [4]);
  }

  async #refuse(members: Members, client: S3Client): Promise<void> {
    await members.kill(0);
    await members.kill(5);
    say('  nodes 0 and 5 were ended by SIGKILL');
    const started = performance.now();
    const status = await this.#rawPut(members.dir, 'written/without-a-quorum');
    const tookMs = performance.now() - started;
    say(`  PUT answered ${status} after ${(tookMs / 1000).toFixed(1)} s`);
    expect(status === 503, 'the PUT is answered 503');
    expect(tookMs <= REFUSAL_MS, `the answer came within ${REFUSAL_MS} ms`);
    members.startNode(0);
    members.startNode(5);
    expect((await members.nodeServes(0)) && (await members.nodeServes(5)), 'both nodes come back');
    const isGone = await client.head(BUCKET, 'written/without-a-quorum').then(() => false, (error: unknown) => isOperationError(error, 'NOT_FOUND'));
    expect(isGone, 'the object is not there afterwards');
    say('  nothing was acknowledged: the object does not exist once the nodes are back');
    await this.#readAll(client);
  }

  async #readAll(client: S3Client): Promise<void> {
    const started = performance.now();
    let next = 0;
    const check = async (): Promise<void> => {
      for (let input = this.#inputs[next]; input !== undefined; input = this.#inputs[next]) {
        next += 1;
        const { body } = await client.get(BUCKET, input.key);
        const hash = createHash('sha256');
        for await (const chunk of body) hash.update(chunk);
        expect(hash.digest('hex') === input.sha256, `${input.key} reads back identical`);
      }
    };
    await Promise.all(Array.from({ length: 8 }, check));
    say(`  all ${this.#inputs.length} objects read back identical in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }

  /** Prints what the gateway and `verify` say, and checks that `verify` accuses exactly these slots. */
  async #report(members: Members, slots: readonly number[]): Promise<void> {
    const { suspicions } = await members.status(members.gatewayFolder);
    for (const suspicion of (suspicions ?? []) as { slot: number; kind: string; count: number; detail: string }[]) {
      say(`  the gateway caught node ${suspicion.slot}: ${suspicion.kind}, ${suspicion.count} times (${suspicion.detail})`);
      expect(slots.includes(suspicion.slot), `no correct node is suspected: node ${suspicion.slot}`);
    }
    const accused = await this.#verify(members.dir);
    for (const { slot, found, examples } of accused) {
      const counts = Object.entries(found).filter(([, count]) => count > 0).map(([kind, count]) => `${kind} ${count}`);
      say(`  verify about node ${slot}: ${counts.join(', ')}; ${examples[0] ?? ''}`);
    }
    const names = accused.map(({ slot }) => slot).join(', ');
    expect(names === slots.join(', '), `verify accuses node ${slots.join(', ')} and no other: ${names}`);
  }

  async #verify(dir: string): Promise<readonly Finding[]> {
    const result = await runCommand('verify', '--dir', dir, '--json');
    const line = result.stdout.split('\n').find((text) => text.includes('"verified"'));
    expect(line !== undefined, `verify reports: ${result.stderr}${result.stdout}`);
    const { nodes, accused: slots } = JSON.parse(line ?? '{}') as { nodes: Finding[]; accused: number[] };
    const accused = nodes.filter(({ slot }) => slots.includes(slot));
    expect(result.code === (accused.length === 0 ? 0 : 3), `verify ends with the right code: ${result.code}`);
    return accused;
  }

  async #rawPut(dir: string, key: string): Promise<number> {
    const client = this.#client(dir, 1);
    try {
      await client.put(BUCKET, key, textBody('must not be stored'), 'text/plain');
      return 200;
    } catch (error) {
      return isOperationError(error, 'NO_QUORUM') ? 503 : 500;
    } finally {
      client.close();
    }
  }

  async #withCopy(roles: readonly Role[], work: (members: Members, client: S3Client) => Promise<void>): Promise<void> {
    await this.#run(await this.#copy(), roles, work);
  }

  async #run(dir: string, roles: readonly Role[], work: (members: Members, client: S3Client) => Promise<void>): Promise<void> {
    const members = new Members(dir);
    const client = this.#client(dir);
    try {
      await members.start(roles, `127.0.0.1:${this.#port}`);
      await Promise.all(roles.map((_, slot) => members.nodeServes(slot)));
      await work(members, client);
    } finally {
      client.close();
      await members.stop();
      await fs.rm(dir, { recursive: true, force: true });
    }
  }

  async #copy(): Promise<string> {
    const dir = path.join(this.#work, `step-${this.#steps}`);
    await fs.cp(this.#healthy, dir, { recursive: true });
    return dir;
  }

  #client(dir: string, attempts?: number): S3Client {
    return new S3Client(readEndpointFile(dir), attempts);
  }
}

function textBody(text: string): { size: number; open: () => AsyncIterable<Uint8Array> } {
  const bytes = Buffer.from(text);
  return {
    size: bytes.length,
    async *open() {
      yield bytes;
    },
  };
}

async function flipBytes(file: string): Promise<number> {
  const handle = await fs.open(file, 'r+');
  const { size } = await handle.stat();
  let flips = 0;
  for (let at = 1000; at < size; at += 256 * 1024) {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8() ^ 0x10);
    await handle.write(byte, 0, 1, at);
    flips += 1;
  }
  await handle.close();
  return flips;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '9199' }, mib: { type: 'string', default: '256' }, dir: { type: 'string' } },
  });
  buildPrograms();
  const work = await fs.mkdtemp(path.join(values.dir ?? os.tmpdir(), 'holdfast-demo-'));
  let demo: Demo | undefined;
  try {
    const inputs = await gatherInput(work, Number(values.mib) * MiB);
    say(`Holdfast demo: ${inputs.length} files, ${formatBytes(inputs.reduce((sum, { size }) => sum + size, 0))}; six storage nodes, any one may be faulty`);
    demo = new Demo(work, Number(values.port), inputs);
    await demo.run();
    say(`\ndemo: all ${demo.steps} steps passed`);
    return 0;
  } catch (error) {
    say(`\ndemo: step ${demo?.steps ?? 0} FAILED: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    await fs.rm(work, { recursive: true, force: true });
  }
}

process.exitCode = await main();
process.exit();
