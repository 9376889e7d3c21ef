/**
 * `npm run demo:attack`: what a Holdfast cluster does about storage nodes that lie. Six node processes and a
 * gateway hold contents that are known; one adversary of the simulator after the other takes the place of a
 * real node, with its folder and its keys. For each it is told what it did, how it was noticed and after how
 * long, and whether that is proof: then the file is verified offline, with the cluster's root document and
 * nothing else. A reader compares all the time what it gets with what was stored. At the end one
 * node loses all of its cells, and the controller makes everything whole. Exit code 1 when anything is
 * not as promised: a read that fails, a lie whose proof is missing, a word against a correct node.
 */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { PROVABLE, strategyNames } from '../src/sim/adversaries/strategies.ts';
import type { EvidenceType } from '../src/evidence/evidence.ts';
import { AttackedCluster } from '../test/adversary/attacked-cluster.ts';
import type { Noticed } from '../test/adversary/attacked-cluster.ts';
import { buildPrograms, runCommand } from '../test/cluster/programs.ts';
import { STORIES } from './attack-stories.ts';
import type { AttackName } from './attack-stories.ts';

/** How long a lie may go unnoticed where its proof is promised: generous, for slow machines. */
const PROOF_MS = 120_000;
/** What others get to be noticed in: at least so many rounds of work, at most so long. Beyond the deadlines of a client, so that silence is noticed. */
const ROUNDS_MIN = 2;
const OTHERS_MS = 30_000;

/** Slots that readers prefer, and the others. */
const READ_SLOTS = 4;
const OTHER_SLOTS = 2;
const FIRST_SLOT = 0;

const ATTACKS: readonly AttackName[] = [...strategyNames, 'wrong-audits'];
const PROOFS: Readonly<Partial<Record<AttackName, EvidenceType>>> = { ...PROVABLE, 'wrong-audits': 'E6-audit' };

class Unexpected extends Error {}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Unexpected(what);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

interface Catch {
  readonly evidence: readonly string[];
  readonly suspicions: readonly { readonly slot: number; readonly kind: string; readonly count: number; readonly detail: string }[];
  readonly failures: readonly { readonly slot: string; readonly type: string; readonly code: string; readonly count: number }[];
}

/** What is new since then. */
function since(before: Noticed, now: Noticed): Catch {
  const evidence = [...now.evidence.keys()].filter((file) => !before.evidence.has(file));
  const suspicions = [...now.suspicions].flatMap(([name, one]) => {
    const count = one.count - (before.suspicions.get(name)?.count ?? 0);
    return count > 0 ? [{ ...one, count }] : [];
  });
  const failures = [...now.failures].flatMap(([name, all]) => {
    const [slot = '', type = '', code = ''] = name.split(' ');
    const count = all - (before.failures.get(name) ?? 0);
    return count > 0 ? [{ slot, type, code, count }] : [];
  });
  return { evidence, suspicions, failures };
}

/** Has anybody noticed anything about the slot? */
function isAbout({ evidence, suspicions, failures }: Catch, slot: number): boolean {
  const isProven = evidence.some((file) => path.basename(file).includes(`-node-${slot}-`));
  return isProven || suspicions.some((one) => one.slot === slot) || failures.some((one) => one.slot === String(slot));
}

class AttackDemo {
  readonly #cluster: AttackedCluster;
  /** Slots that have lied: what they did then may come to light later. */
  readonly #liars = new Set<number>();
  #proven = 0;

  constructor(cluster: AttackedCluster) {
    this.#cluster = cluster;
  }

  /** Attacks that ended with proof. */
  get proven(): number {
    return this.#proven;
  }

  /** One adversary comes, is noticed or not, and leaves. */
  async attack(name: AttackName, slot: number): Promise<void> {
    const { does, burns } = STORIES[name];
    say(`\n${name}: node ${slot} ${does}`);
    this.#liars.add(slot);
    // The exchange itself interrupts calls; what comes after it is the liar's doing.
    expect(await this.#cluster.replace(slot, name), 'the lying node serves');
    const before = await this.#cluster.noticed();
    const caught = await this.#watch(name, slot, before);
    this.#checkNobodyElse(caught);
    for (const { kind, count, detail } of caught.suspicions.filter((one) => one.slot === slot)) say(`  suspicion: ${kind}, ${count} times (${detail})`);
    for (const { type, code, count } of caught.failures.filter((one) => one.slot === String(slot))) say(`  silence: ${count} ${type} without an answer (${code})`);
    const expected = PROOFS[name];
    const proofs = caught.evidence.filter((file) => path.basename(file).startsWith(`${expected ?? ''}`) && path.basename(file).includes(`-node-${slot}-`));
    for (const file of proofs.slice(0, 1)) await this.#verify(file);
    if (proofs.length === 0) say('  provable: no; nothing that it signed contradicts itself, so this stays a suspicion');
    const leaves = await this.#cluster.replace(slot, 'correct');
    expect(leaves || burns === true, 'the honest node serves again');
    if (!leaves) say(`  honest again, node ${slot} finds others holding its word for what its log lacks, and refuses to serve under its name`);
    const { reads, slowestMs } = this.#cluster.readerReport();
    say(`  meanwhile ${reads} reads, all identical with what was stored, the slowest in ${slowestMs} ms`);
  }

  /** Works until the lie is proven, or noticed where no proof is to be had. */
  async #watch(name: AttackName, slot: number, before: Noticed): Promise<Catch> {
    const type = PROOFS[name];
    const isProof = (file: string): boolean => type !== undefined && path.basename(file).startsWith(`${type}-node-${slot}-`);
    const beganMs = performance.now();
    const isOver = (): boolean => performance.now() - beganMs > (type === undefined ? OTHERS_MS : PROOF_MS);
    let noticedMs: number | null = null;
    for (let round = 1; ; round += 1) {
      const working = { is: true };
      const work = this.#cluster.work().finally(() => (working.is = false));
      let caught = since(before, await this.#cluster.noticed());
      while (working.is) {
        await Promise.race([work, new Promise((resolve) => setTimeout(resolve, 100))]);
        caught = since(before, await this.#cluster.noticed());
        const isNoticed = isAbout(caught, slot);
        if (isNoticed && noticedMs === null) noticedMs = performance.now() - beganMs;
      }
      await work;
      const isDone = type === undefined ? round >= ROUNDS_MIN && noticedMs !== null : caught.evidence.some(isProof);
      if (!isDone && !isOver()) continue;
      expect(type === undefined || isDone, `the proof ${type ?? ''} is there after ${seconds(PROOF_MS)}`);
      const isSuspect = caught.suspicions.some((one) => one.slot === slot);
      const how = caught.evidence.some((file) => path.basename(file).includes(`-node-${slot}-`)) ? 'with proof' : isSuspect ? 'as a suspicion' : 'by its silence';
      say(noticedMs === null ? '  not noticed: with f nodes like this nothing goes wrong, and others answer for it' : `  noticed after ${seconds(noticedMs)}, ${how}`);
      return caught;
    }
  }

  #checkNobodyElse({ evidence, suspicions }: Catch): void {
    for (const file of evidence) expect([...this.#liars].some((slot) => path.basename(file).includes(`-node-${slot}-`)), `nobody else is accused: ${path.basename(file)}`);
    for (const { slot, kind, detail } of suspicions) expect(this.#liars.has(slot) || kind === 'UNSIGNED_ANSWERS', `nobody else is suspected: node ${slot}, ${kind}, ${detail}`);
  }

  /** As a stranger does: with the file and the root document. */
  async #verify(file: string): Promise<void> {
    const { code, stdout, stderr } = await runCommand('evidence', 'verify', file, '--config', this.#cluster.config);
    expect(code === 0, `the file verifies offline: ${stderr}`);
    this.#proven += 1;
    say(`  provable: yes, ${path.relative(this.#cluster.dir, file)}; holdfast evidence verify says:`);
    for (const line of stdout.trimEnd().split('\n')) say(`    ${line}`);
  }

  /** A node loses all of its cells; then the controller has time to make everything whole that is missing anywhere. */
  async destroyAndHeal(slot: number): Promise<void> {
    say(`\nall cells of node ${slot} are destroyed; its log is left`);
    const beganMs = performance.now();
    await this.#cluster.destroyCells(slot);
    const lost = await this.#cluster.untilControl('the controller notices', ({ repair }) => repair.holes > 0 || repair.given > 0);
    say(`  noticed after ${seconds(performance.now() - beganMs)}: ${lost.repair.holes} cells are lost or not known to be there; the node says so itself, and is not called a liar`);
    const { repair } = await this.#cluster.untilControl('everything is whole again', ({ health }) => health === 'whole');
    say(`  whole again after ${seconds(performance.now() - beganMs)}: the controller gave ${repair.given} cells back since it began, and audits found ${repair.healed} whole`);
    const { reads, slowestMs } = this.#cluster.readerReport();
    say(`  meanwhile ${reads} reads, all identical with what was stored, the slowest in ${slowestMs} ms`);
    await this.#verifyAll();
  }

  async #verifyAll(): Promise<void> {
    const { code, stdout, stderr } = await runCommand('verify', '--dir', this.#cluster.dir, '--json');
    const line = stdout.split('\n').find((text) => text.includes('"verified"'));
    expect(line !== undefined, `verify reports: ${stdout}${stderr}`);
    const { unreadable, accused } = JSON.parse(line ?? '{}') as { unreadable: number; accused: number[] };
    expect(code === 0 && unreadable === 0 && accused.length === 0, `holdfast verify finds everything whole: exit code ${code}, ${unreadable} unreadable, nodes accused: ${accused.join(', ')}`);
    say('\nat the end every version is whole on every node, and holdfast verify finds nothing wrong');
  }
}

async function onCluster(dir: string, port: number, isNew: boolean, work: (demo: AttackDemo) => Promise<void>): Promise<AttackDemo> {
  const cluster = new AttackedCluster(dir, port);
  const demo = new AttackDemo(cluster);
  await cluster.start(isNew);
  try {
    await work(demo);
    await cluster.work();
    cluster.readerReport();
  } finally {
    await cluster.stop();
  }
  return demo;
}

function chosen(only: string | undefined): readonly AttackName[] {
  const names = only === undefined ? ATTACKS : only.split(',');
  return names.map((name) => {
    const found = ATTACKS.find((one) => one === name);
    if (found === undefined) throw new Unexpected(`there is no adversary ${name}; there are ${ATTACKS.join(', ')}`);
    return found;
  });
}

/**
 * Who lies about cells lies from a slot that readers prefer, and only where nobody has lied for a while: readers
 * avoid whom they have caught. The others lie in between, from the slots that are read from last.
 */
function inOrder(names: readonly AttackName[]): readonly { readonly name: AttackName; readonly slot: number }[] {
  const read = names.filter((name) => STORIES[name].isRead === true).map((name, i) => ({ name, slot: i % READ_SLOTS }));
  const others = names.filter((name) => STORIES[name].isRead !== true).map((name, i) => ({ name, slot: READ_SLOTS + (i % OTHER_SLOTS) }));
  return [...read.slice(0, READ_SLOTS), ...others, ...read.slice(READ_SLOTS)];
}

async function run(work: string, port: number, names: readonly AttackName[], heals: boolean): Promise<void> {
  const healthy = path.join(work, 'healthy');
  await AttackedCluster.make(healthy);
  const told = names.filter((name) => STORIES[name].skipped === undefined);
  const [staying, burning] = [told.filter((name) => STORIES[name].burns !== true), told.filter((name) => STORIES[name].burns === true)];
  // Taken before anybody has lied: a node that lost its name cannot be put back in the same cluster.
  const copies = burning.map((name) => path.join(work, name));
  if (copies.length > 0) await onCluster(healthy, port, true, () => Promise.resolve());
  for (const copy of copies) await fs.cp(healthy, copy, { recursive: true });
  let proven = 0;
  const attacked = await onCluster(healthy, port, copies.length === 0, async (demo) => {
    for (const { name, slot } of inOrder(staying)) await demo.attack(name, slot);
    if (heals) await demo.destroyAndHeal(FIRST_SLOT);
  });
  proven += attacked.proven;
  for (const [i, name] of burning.entries()) proven += (await onCluster(copies[i] ?? healthy, port, false, (demo) => demo.attack(name, FIRST_SLOT))).proven;
  for (const name of names) if (STORIES[name].skipped !== undefined) say(`\n${name}: left out, as ${STORIES[name].skipped}`);
  say(`\ndemo:attack: ${told.length} adversaries, ${proven} of them proven guilty, nobody else accused, every read identical`);
}

async function main(): Promise<number> {
  // The S3 client of this demo speaks of the future of Node.js otherwise.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '9299' }, only: { type: 'string' }, heal: { type: 'boolean' }, dir: { type: 'string' } },
  });
  buildPrograms();
  const work = await fs.mkdtemp(path.join(values.dir ?? os.tmpdir(), 'holdfast-attack-'));
  try {
    say('Holdfast under attack: six storage nodes, of which any one may be faulty; one gateway; one reader that never stops');
    await run(work, Number(values.port), chosen(values.only), values.only === undefined || values.heal === true);
    return 0;
  } catch (error) {
    say(`\ndemo:attack FAILED: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    await fs.rm(work, { recursive: true, force: true });
  }
}

process.exitCode = await main();
process.exit();
