/**
 * One run: a cluster comes up, clients work while faults befall it, everything is healed, and all that was
 * acknowledged must be there. What the run broke, if anything, is in the result.
 */
import { assert } from '../base/assert.ts';
import { equal, hex } from '../base/bytes.ts';
import { describeError } from '../base/errors.ts';
import { LEASE_MS_MAX } from '../base/limits.ts';
import { DEFAULT_DEADLINES } from '../client/deadlines.ts';
import { decodeEvidence, encodeEvidence } from '../evidence/evidence.ts';
import { nameOf } from '../evidence/finding.ts';
import type { Accused, Proof } from '../evidence/finding.ts';
import { judgeEvidence } from '../evidence/judge.ts';
import { decodeEntry } from '../log/entry-types.ts';
import { decodeCommitted } from '../protocol/log-entries.ts';
import { quorumSize } from '../protocol/quorum.ts';
import { GreedyAdversary } from './adversaries/greedy.ts';
import { RawWriter } from './adversaries/raw-writer.ts';
import { NosyNode } from './adversaries/nosy-node.ts';
import { StolenGateway } from './adversaries/stolen-gateway.ts';
import { StolenWriter } from './adversaries/stolen-writer.ts';
import { Clients } from './clients.ts';
import type { Counts } from './requests.ts';
import { checkLocks } from './checkers/locks.ts';
import { checkLogs } from './checkers/logs.ts';
import { judge } from './checkers/linearizability.ts';
import { PromiseAudit } from './checkers/promises.ts';
import { RegisterAutomaton } from './checkers/register-automaton.ts';
import { FaultInjector } from './fault-injector.ts';
import type { FaultKind } from './faults.ts';
import type { Scenario } from './scenario.ts';
import { SeededRandom } from './seeded-random.ts';
import { SimulatedCluster } from './simulated-cluster.ts';
import { SimulatedTime } from './simulated-time.ts';
import type { EndOfTurn } from './simulated-time.ts';
import { Trace } from './trace.ts';
import { VersionClients } from './version-clients.ts';

/** Simulated time that the clients get, and then the healed cluster; beyond it something hangs. */
const CLIENTS_MS = 20 * 60_000;
const HEALED_MS = 5 * 60_000;
/** Longer than a read keeps what it reads, or at most can, and a gateway waits before it looks at writes of unknown end. */
const SETTLED_MS = DEFAULT_DEADLINES.leaseMs + 60_000;
const SETTLED_AFTER_THEFT_MS = LEASE_MS_MAX + 60_000;
/** A healed cluster answers a read at the first try, but for what is still on its way. */
const FINAL_READS = 5;
/** QUERY, COMMIT, FETCH or BODY, RESOLVE; CHECKPOINT and CHANGES. */
const REQUESTS_A_READ_AND_NODE = 6;
const FINAL_PAUSE_MS = 3_000;
/** By then nodes have let go of what they may let go. */
const COLLECTED_MS = 10_000;

export interface RunResult {
  readonly scenario: Scenario;
  /** Empty when every property held. */
  readonly violations: readonly string[];
  readonly digest: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly counts: Counts;
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** Kinds of suspicion and evidence that came about. */
  readonly caught: ReadonlySet<string>;
  /** What happened in the protocol, by name. */
  readonly protocol: ReadonlyMap<string, number>;
  /** Moves of the stolen writer by name. */
  readonly moves: ReadonlyMap<string, number>;
  readonly timeline: readonly string[];
}

export async function simulate(scenario: Scenario, endOfTurn: EndOfTurn): Promise<RunResult> {
  const time = new SimulatedTime(endOfTurn);
  const trace = new Trace(time);
  const random = new SeededRandom(`run ${scenario.seed}`);
  const cluster = new SimulatedCluster({ time, random, trace }, scenario.shape, new Set(scenario.bad));
  if (scenario.isGreedy) cluster.leaveTo(new GreedyAdversary(new Set(scenario.bad)));
  const clients = new Clients(cluster, trace, scenario.keys, scenario.isSerialised);
  const thief = scenario.shape.isWriterStolen
    ? new StolenWriter({ stage: cluster, writer: scenario.shape.gateways, reader: scenario.shape.gateways + 1, random: random.fork('thief'), trace, correct: cluster.goodSlots })
    : null;
  const versions = versionClients(scenario, cluster, trace, clients.counts);
  const robber = stolenGateway(scenario, cluster, trace, random, versions);
  const [nosySlot] = scenario.bad;
  const nosy = nosySlot === undefined ? null : new NosyNode({ stage: cluster, slot: nosySlot, correct: cluster.goodSlots, certificate: () => clients.someCertificate(nosySlot) });
  const injector = new FaultInjector(cluster, random.fork('injector'));
  const violations: string[] = [];

  /** Lets the world go on until the work is done; false when it does not end in time. */
  const until = async (what: string, work: Promise<unknown>, limitMs: number): Promise<boolean> => {
    let isDone = false;
    const done = work.then(
      () => void (isDone = true),
      (error: unknown) => {
        isDone = true;
        violations.push(`${what}: ${describeError(error)}`);
      },
    );
    await time.run(time.nowMs + limitMs, () => isDone);
    if (isDone) await done;
    else violations.push(`${what} does not end within ${limitMs / 1000} s`);
    return isDone;
  };

  cluster.start();
  let goesOn = await until('the first start', whole(cluster), HEALED_MS);
  if (goesOn) goesOn = await until('creating the buckets', Promise.all([clients.createBucket(), versions?.createBucket(), thief?.openBucket()]), HEALED_MS);
  if (goesOn) {
    injector.plan(scenario.faults);
    const kept = scenario.versions?.clients.map((steps, client) => versions?.run(`${client}`, steps)) ?? [];
    const work = Promise.all([...scenario.clients.map((steps, client) => clients.run(`${client}`, steps)), ...kept, robber?.run(scenario.thefts), thief?.run(scenario.thefts)]);
    goesOn = await until('the work of the clients', work, CLIENTS_MS);
  }
  if (goesOn) {
    trace.note('world', 'is healed');
    injector.heal();
    goesOn = await until('the start of every correct process', whole(cluster), HEALED_MS);
  }
  if (goesOn && nosy !== null) goesOn = await until('the questions of a bad node', nosy.ask(), HEALED_MS);
  if (goesOn && thief !== null) goesOn = await until('the check of the stolen keys', thief.check(), HEALED_MS);
  if (goesOn) {
    const audit = new PromiseAudit(new RawWriter(cluster, 0, 'audit'), cluster.goodSlots);
    const asked = async (): Promise<void> => void violations.push(...(await audit.check(await keysIn(cluster))));
    goesOn = await until('asking for everything that was signed for', asked(), HEALED_MS);
  }
  if (goesOn) {
    // With fewer liars than f, others may be missing besides: what was acknowledged outlives any f faults.
    for (const slot of random.fork('last crashes').shuffled(cluster.goodSlots).slice(0, scenario.shape.f - scenario.bad.length)) {
      cluster.crash(`node-${slot}`, true, Infinity);
    }
    goesOn = await until('reading everything back', readBack('final', cluster, [clients, versions], violations), HEALED_MS);
  }
  if (goesOn && scenario.settles) {
    // Orphans are settled and garbage is collected: neither may change what there is.
    await time.run(time.nowMs + (thief === null ? SETTLED_MS : SETTLED_AFTER_THEFT_MS));
    violations.push(...leftovers(cluster));
    const { requests } = cluster;
    await until('reading everything back again', readBack('settled', cluster, [clients, versions], violations), HEALED_MS);
    violations.push(...excess(scenario, clients.readsOfAll + (versions?.readsOfAll ?? 0), cluster.requests - requests));
  }
  if (goesOn && scenario.empties) goesOn = await until('deleting everything', clients.deleteAll('empty'), HEALED_MS);
  if (goesOn && scenario.empties) {
    await time.run(time.nowMs + SETTLED_MS);
    violations.push(...remains(cluster));
  }
  if (goesOn && robber !== null && versions !== null) {
    goesOn = await until('the last moves of a stolen gateway', robber.replaceAll(), HEALED_MS);
    await time.run(time.nowMs + COLLECTED_MS);
    await until('the check of what is locked', lockedStay(cluster, versions, violations), HEALED_MS);
  }
  await until('reading the logs', readLogs(cluster, [clients, versions], violations), HEALED_MS);

  violations.push(...losses(scenario, clients.counts), ...cluster.failures, ...clients.broken, ...(versions?.violations() ?? []), ...(thief?.violations ?? []), ...(nosy?.violations ?? []));
  for (const [key, history] of clients.histories.entries()) {
    const verdict = judge(history);
    if (!verdict.ok) violations.push(`${Clients.keyName(key)} is no register: no order explains ${JSON.stringify(verdict.stuck)}`);
  }
  const caught = judgeAccusations(cluster, violations);
  const { count: events } = trace;
  const result = { scenario, violations, events, simulatedMs: time.nowMs, counts: clients.counts, faults: injector.counts, protocol: cluster.protocolEvents(), caught, moves: new Map([...(thief?.moves ?? []), ...(robber?.moves ?? [])]) };
  return { ...result, timeline: trace.timeline(), digest: trace.digest() };
}

type Workloads = readonly (Clients | VersionClients | null)[];

async function readLogs(cluster: SimulatedCluster, all: Workloads, violations: string[]): Promise<void> {
  const logs = new Map<string, readonly Uint8Array[]>();
  const keeping = new Set(all.flatMap((clients) => (clients instanceof VersionClients ? [...clients.attemptedKeys().keys()] : [])));
  const automaton = new RegisterAutomaton(keeping);
  for (const slot of cluster.goodSlots) {
    const leaves = await cluster.readLog(slot);
    if (leaves === null) continue;
    logs.set(`node-${slot}`, leaves);
    for (const leaf of leaves) automaton.observe(`node-${slot}`, leaf);
  }
  // Of a certificate's receipts at most one each is from a node whose log is not here.
  violations.push(...automaton.violations(quorumSize(cluster.shape) - (cluster.shape.n - logs.size)));
  violations.push(...(await cluster.watchersFaults()));
  const attempted = new Map(all.flatMap((clients) => [...(clients?.attemptedKeys() ?? [])]));
  violations.push(...checkLogs({ logs, attempted, keeping }));
}

/** All keys of which a correct node has a certified version. */
async function keysIn(cluster: SimulatedCluster): Promise<readonly Uint8Array[]> {
  const keys = new Map<string, Uint8Array>();
  for (const slot of cluster.goodSlots) {
    for (const leaf of (await cluster.readLog(slot)) ?? []) {
      const entry = decodeEntry(leaf);
      const body = entry?.type === 'COMMITTED' ? decodeCommitted(entry.body) : undefined;
      if (body?.ok === true) keys.set(hex(body.value.keyId), body.value.keyId);
    }
  }
  return [...keys.values()];
}

async function whole(cluster: SimulatedCluster): Promise<void> {
  while (!cluster.isWhole) await cluster.clock.sleep(100);
}

/** Every key through every gateway, while the bad nodes go on lying. */
async function readBack(name: string, cluster: SimulatedCluster, all: Workloads, violations: string[]): Promise<void> {
  for (let gateway = 0; gateway < cluster.shape.gateways; gateway += 1) {
    let isRead = false;
    for (let round = 0; round < FINAL_READS && !isRead; round += 1) {
      isRead = true;
      for (const clients of all) isRead = (await clients?.readAll(`${name} ${gateway}.${round}`, gateway)) !== false && isRead;
      if (!isRead) await cluster.clock.sleep(FINAL_PAUSE_MS);
    }
    if (!isRead) violations.push(`gateway ${gateway} cannot read everything although all correct nodes serve`);
  }
}

/** At most f nodes lie, and nothing else is wrong: everything succeeds. */
function losses({ calm }: Scenario, { unknown, refused, failedReads }: Counts): string[] {
  return calm && unknown + refused + failedReads > 0
    ? [`${unknown} writes of unknown end, ${refused} refused ones and ${failedReads} failed reads where only the bad nodes lie`]
    : [];
}

/** What has been replaced for long is collected, on every correct node. */
function leftovers(cluster: SimulatedCluster): string[] {
  return cluster.goodSlots.flatMap((slot) => {
    const superseded = cluster.node(slot)?.status().superseded ?? 0;
    return superseded > 0 ? [`node ${slot} still keeps ${superseded} versions that have been replaced`] : [];
  });
}

/** Nothing is left of what has been deleted for long, on any correct node, but the one content that is empty. */
function remains(cluster: SimulatedCluster): string[] {
  return cluster.goodSlots.flatMap((slot) => {
    const { liveBytes = 0, contents = 0, stages = 0 } = cluster.node(slot)?.status() ?? {};
    return contents > 1 || stages > 0 ? [`node ${slot} still keeps ${contents} contents of ${liveBytes} bytes and ${stages} stages when everything is deleted`] : [];
  });
}

/** A read of a quiet cluster takes a bounded number of requests, whoever lies. */
function excess({ shape }: Scenario, readsOfAll: number, requests: number): string[] {
  const reads = readsOfAll * shape.gateways;
  const most = reads * shape.n * REQUESTS_A_READ_AND_NODE;
  return requests > most ? [`${reads} reads of a quiet cluster took ${requests} requests, and ${most} are enough`] : [];
}

async function lockedStay(cluster: SimulatedCluster, versions: VersionClients, violations: string[]): Promise<void> {
  const locked = versions.mustStay();
  for (const slot of cluster.goodSlots) violations.push(...checkLocks(`node-${slot}`, (await cluster.readLog(slot)) ?? [], locked));
}

function versionClients({ versions }: Scenario, cluster: SimulatedCluster, trace: Trace, counts: Counts): VersionClients | null {
  return versions === null ? null : new VersionClients({ ...versions, cluster, trace, counts });
}

/** Of the writer whose key is stolen anyway. */
function stolenGateway({ shape, versions: work }: Scenario, stage: SimulatedCluster, trace: Trace, random: SeededRandom, victims: VersionClients | null): StolenGateway | null {
  const writer = stage.writers[shape.gateways];
  if (work?.locks !== true || victims === null || !shape.isWriterStolen || writer === undefined) return null;
  return new StolenGateway({ stage, writer, random: random.fork('stolen gateway'), trace, victims });
}

/** Being late is no lie: what a correct node may be suspected of when links and disks are slow. */
const TIMING = new Set(['UNSIGNED_ANSWERS']);

/** No correct node is accused of what only a liar does. Returns the kinds of all accusations. */
function judgeAccusations(cluster: SimulatedCluster, violations: string[]): ReadonlySet<string> {
  const kinds = new Set<string>();
  for (const { slot, kind, detail } of cluster.suspicions()) {
    kinds.add(kind);
    if (!cluster.bad.has(slot) && !TIMING.has(kind)) violations.push(`the correct node ${slot} is suspected of ${kind}: ${detail}`);
  }
  for (const proof of cluster.evidence) {
    const { type } = proof.evidence;
    const { accused, contradiction } = proof.finding;
    kinds.add(type);
    if (!isBad(cluster, accused)) violations.push(`there is evidence ${type} against ${nameOf(accused)}, which is correct: ${contradiction}`);
    violations.push(...unconvincing(cluster, proof));
  }
  for (const [name, count] of cluster.telemetry.counts) {
    if (name.startsWith('evidence_not_proven') && count > 0) violations.push(`an accusation was not proven: ${name}`);
  }
  assert(kinds.size < 100, 'kinds are few');
  return kinds;
}

function isBad({ bad, shape, writers }: SimulatedCluster, accused: Accused): boolean {
  if (accused.kind === 'node') return bad.has(accused.slot);
  // A stolen writer comes with a stolen reader, and both stand behind the gateways.
  return accused.kind === 'writer' && writers.slice(shape.gateways).some(({ gatewayId }) => equal(gatewayId, accused.gatewayId));
}

/** Evidence convinces a stranger who reads it from its file. */
function unconvincing({ cluster, clock }: SimulatedCluster, { evidence }: Proof): string[] {
  const { type } = evidence;
  const bytes = encodeEvidence(evidence);
  const read = decodeEvidence(bytes);
  const verdict = read.ok ? judgeEvidence(cluster, read.value, clock.nowMs()) : read;
  return 'proven' in verdict && verdict.proven ? [] : [`evidence ${type} does not convince: ${'reason' in verdict ? verdict.reason : ''}`];
}
