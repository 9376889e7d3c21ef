/**
 * Every run of every model, with what must come out: clean with exactly so many states, one named invariant
 * broken after exactly so many steps, or a dead end. The broken runs leave a rule out; they show what the rule is
 * for, and that the model would notice. Numbers are exact, so that a model that is changed by accident, or a rule
 * of the implementation that is, shows.
 *
 * Quick runs are part of `npm test`; slow ones of `npm run test:full`.
 */
import { isCopyOnOthersEnough, incarnation, restartOfAll, rollback } from './boot.ts';
import type { RollbackInvariant } from './boot.ts';
import { bucketDeletion, versioning } from './bucket-records.ts';
import { compaction } from './compaction.ts';
import { conditionalWrites } from './conditional-writes.ts';
import { allQuorums } from './counting.ts';
import { checkWithPauses, describeOutcome } from './engine.ts';
import type { Model, Outcome } from './engine.ts';
import { listing } from './listing.ts';
import { objectLock } from './object-lock.ts';
import { onePhase } from './one-phase.ts';
import { partTables } from './part-tables.ts';
import { reconfiguration } from './reconfiguration.ts';
import { register } from './register.ts';
import { renewal } from './renewal.ts';
import { slotChain } from './slot-chain.ts';
import { slotBallots, stagedContent, switching } from './slots.ts';
import { retention } from './versions.ts';

export type Expected =
  | { readonly kind: 'clean'; readonly states: number }
  | { readonly kind: 'violated'; readonly invariant: string; readonly steps: number }
  | { readonly kind: 'dead end'; readonly steps: number };

export interface Run {
  readonly name: string;
  readonly isSlow: boolean;
  readonly expected: Expected;
  run(): Promise<Outcome>;
}

/** All states are visited and none is wrong; with a goal, there is no dead end either. */
function clean<State>(model: Model<State>, states: number): Run {
  return { name: model.name, isSlow: false, expected: { kind: 'clean', states }, run: () => checkWithPauses(model) };
}

/** The rule that is left out is needed: this invariant breaks, and the shortest way there has so many steps. */
function broken<State>(model: Model<State>, invariant: string, steps: number): Run {
  return { name: model.name, isSlow: false, expected: { kind: 'violated', invariant, steps }, run: () => checkWithPauses(model) };
}

function deadEnd<State>(model: Model<State>, steps: number): Run {
  return { name: model.name, isSlow: false, expected: { kind: 'dead end', steps }, run: () => checkWithPauses(model) };
}

/** Takes more than a few seconds, or shows in a larger cluster what a quick run shows in a small one: left to the full set. */
function slow(run: Run): Run {
  return { ...run, isSlow: true };
}

/** What is wrong with an outcome, for people, or null if it is what was expected. */
export function surprise({ name, expected }: Run, outcome: Outcome): string | null {
  if (isExpected(expected, outcome)) return null;
  return `${name}\nexpected: ${describeExpected(expected)}\nfound:    ${describeOutcome(outcome)}`;
}

function isExpected(expected: Expected, outcome: Outcome): boolean {
  switch (expected.kind) {
    case 'clean':
      return outcome.kind === 'clean' && outcome.states === expected.states;
    case 'violated':
      return outcome.kind === 'violated' && outcome.invariant === expected.invariant && outcome.trace.length === expected.steps;
    case 'dead end':
      return outcome.kind === 'dead end' && outcome.trace.length === expected.steps;
  }
}

/** What must come out, in the words of README.md. */
export function describeExpected(expected: Expected): string {
  switch (expected.kind) {
    case 'clean':
      return `clean, ${expected.states.toLocaleString('en-GB')} states`;
    case 'violated':
      return `violates "${expected.invariant}" after ${expected.steps} steps`;
    case 'dead end':
      return `dead end after ${expected.steps} steps`;
  }
}

const ONE_HEAD = 'I1 one certified head per stamp';
const DECODABLE = 'I2 highest certified is decodable';
const LINEARIZABLE = 'I4 linearizable';

const registerRuns: readonly Run[] = [
  clean(register('register: n=4 f=1 k=2'), 369_409),
  clean(register('register: n=4, writer 1 Byzantine', { byzantineWriter: true, counterMax: 1 }), 315_250),
  clean(register('register: n=7 f=2 k=3, one writer', { n: 7, f: 2, k: 3, writers: 1, counterMax: 1 }), 9_587),
  clean(register('register: n=4, guessed counters', { guessedCounter: true, counterMax: 1 }), 151_255),
  slow(clean(register('register: n=5 f=1 k=3', { n: 5, k: 3 }), 2_635_810)),
  broken(register('register: k = n-2f+1', { k: 3 }), DECODABLE, 7),
  broken(register('register: no write-back', { broken: { noWriteBack: true }, clientsOnly: true }), LINEARIZABLE, 16),
  broken(register('register: GC of uncertified fragments', { broken: { dropsUncertified: true } }), DECODABLE, 8),
  broken(register('register: certificate on 2f nodes', { broken: { holders: 2 }, clientsOnly: true }), LINEARIZABLE, 13),
  broken(register('register: two manifests for one stamp, without P8', { byzantineWriter: true, broken: { noP8: true } }), ONE_HEAD, 6),
  broken(register('register: forgetting after GC, without P6', { byzantineWriter: true, broken: { noP6: true } }), ONE_HEAD, 11),
  broken(register('register: a disk rolled back on top of f', { broken: { diskRollback: true }, clientsOnly: true }), LINEARIZABLE, 15),
  broken(register('register: an overwritten writer does not help', { broken: { noHelp: true }, clientsOnly: true }), LINEARIZABLE, 19),
  broken(register('register: guessed counter, without P6', { guessedCounter: true, broken: { noP6: true }, clientsOnly: true }), LINEARIZABLE, 14),
];

const onePhaseRuns: readonly Run[] = [
  clean(onePhase({ n: 4, f: 1, k: 1 }), 2_697),
  clean(onePhase({ n: 5, f: 1, k: 2 }), 6_186),
  clean(onePhase({ n: 6, f: 1, k: 3 }), 13_427),
  broken(onePhase({ n: 4, f: 1, k: 2 }), 'linearizable', 9),
  broken(onePhase({ n: 5, f: 1, k: 3 }), 'linearizable', 11),
  broken(onePhase({ n: 6, f: 1, k: 4 }), 'linearizable', 13),
];

const ONE_MANIFEST = 'one certified manifest per predecessor';

const conditionalRuns: readonly Run[] = [
  clean(conditionalWrites({ rule: 'ballots', mustEnd: true }), 2_555),
  clean(conditionalWrites({ rule: 'ballots', byzantineSilent: true, mustEnd: true }), 911),
  clean(conditionalWrites({ rule: 'votes', mustEnd: true }), 29),
  deadEnd(conditionalWrites({ rule: 'votes', byzantineSilent: true, mustEnd: true }), 5),
  broken(conditionalWrites({ rule: 'skipped promises' }), ONE_MANIFEST, 11),
  broken(conditionalWrites({ rule: 'engine alone' }), ONE_MANIFEST, 8),
];

const ballotRuns: readonly Run[] = [
  clean(slotBallots('specified'), 30_762),
  clean(slotBallots('specified, Byzantine silent', { byzantineSilent: true }), 7_726),
  clean(slotBallots('specified', { n: 6, rounds: [2, 1] }), 13_732),
  clean(slotBallots('specified, Byzantine silent', { n: 6, rounds: [2, 1], byzantineSilent: true }), 4_335),
  broken(slotBallots('a node forgets its promise', { broken: { forgetsPromise: true } }), ONE_MANIFEST, 14),
  broken(slotBallots('a node forgets what it accepted', { broken: { forgetsAccepted: true } }), ONE_MANIFEST, 14),
  broken(slotBallots('the accepted value is not proposed again', { broken: { ignoresAccepted: true } }), ONE_MANIFEST, 14),
  broken(slotBallots('gateway 1 skips the promises', { broken: { skipsPromises: true } }), ONE_MANIFEST, 11),
  broken(slotBallots('q-1', { broken: { quorum: 2 } }), ONE_MANIFEST, 10),
  // With n = 6 two sets of q-1 still meet in f+1 nodes: here q is there for decodability alone.
  clean(slotBallots('q-1', { n: 6, rounds: [1, 1], broken: { quorum: 4 } }), 857),
  broken(slotBallots('q-2', { n: 6, rounds: [1, 1], broken: { quorum: 3 } }), ONE_MANIFEST, 14),
  clean(slotBallots('no id in the ballot: safe', { broken: { noIdInBallot: true } }), 2_323),
  deadEnd(slotBallots('no id in the ballot, Byzantine silent', { byzantineSilent: true, broken: { noIdInBallot: true } }), 7),
  broken(slotBallots('no id, and a promise for an equal ballot', { broken: { noIdInBallot: true, promisesEqualBallot: true } }), ONE_MANIFEST, 19),
  broken(slotBallots('restart, ballot = (round, gatewayId)', { restart: 'repeats its ballots' }), ONE_MANIFEST, 20),
  clean(slotBallots('restart, ballot = (round, writerId)', { restart: 'new writerId', rounds: [1, 1] }), 2_944),
  broken(slotBallots('LIMIT: a stolen gateway key', { rounds: [1, 1], broken: { stolenKey: true } }), ONE_MANIFEST, 12),
];

interface StagedCounts {
  readonly n: number;
  readonly likeReceipt: number;
  readonly ownWord: number;
  readonly twoF: number;
  readonly specified: number;
}

function stagedRuns({ n, ...counts }: StagedCounts): readonly Run[] {
  const DECODABLE_CONTENT = 'certified content is decodable';
  return [
    broken(stagedContent('binds like a receipt', { n, release: 'like a receipt' }), DECODABLE_CONTENT, counts.likeReceipt),
    broken(stagedContent('released on the own word', { n, release: 'on its own word' }), DECODABLE_CONTENT, counts.ownWord),
    broken(stagedContent('UNSTAGE from 2f', { n, release: 2 }), DECODABLE_CONTENT, counts.twoF),
    clean(stagedContent('UNSTAGE from 2f+1, listed manifests settled', { n, release: 3 }), counts.specified),
  ];
}

interface SwitchCounts {
  readonly n: number;
  readonly specified: number;
  readonly overwritten: number;
  readonly unblocked: number;
  readonly unrefused: number;
  readonly trusting: number;
  readonly stuck: number;
  readonly buriedSilent: number;
  readonly buried: number;
}

function switchingRuns({ n, ...counts }: SwitchCounts): readonly Run[] {
  const NOT_BOTH = 'not both succeed the same version';
  return [
    clean(switching('overwritten ack only if the other is PLAIN', { n }), counts.specified),
    broken(switching('overwritten ack for any mode', { n, overwrittenByAnyMode: true }), 'no acknowledged PLAIN write between V and If-Match V', counts.overwritten),
    broken(switching('PLAIN receipts do not block the slot', { n, plainBlocks: false }), NOT_BOTH, counts.unblocked),
    broken(switching('adopted nodes still sign PLAIN', { n, refusesPlain: false }), NOT_BOTH, counts.unrefused),
    broken(switching('the licence believes liars', { n, trustingLicence: true }), NOT_BOTH, counts.trusting),
    deadEnd(switching('orphan P, Byzantine silent', { n, byzantineSilent: true }), counts.stuck),
    deadEnd(switching('unconditional S may not bury P, Byzantine silent', { n, byzantineSilent: true, conditional: false, mayBury: false }), counts.stuck),
    clean(switching('unconditional S may bury P, Byzantine silent', { n, byzantineSilent: true, conditional: false }), counts.buriedSilent),
    clean(switching('unconditional S may bury P', { n, conditional: false }), counts.buried),
  ];
}

const slotRuns: readonly Run[] = [
  ...ballotRuns,
  ...stagedRuns({ n: 4, likeReceipt: 5, ownWord: 4, twoF: 5, specified: 1_065 }),
  ...stagedRuns({ n: 6, likeReceipt: 7, ownWord: 6, twoF: 7, specified: 20_138 }),
  ...switchingRuns({ n: 4, specified: 1_801, overwritten: 9, unblocked: 8, unrefused: 8, trusting: 11, stuck: 7, buriedSilent: 401, buried: 3_246 }),
  ...switchingRuns({ n: 6, specified: 13_896, overwritten: 13, unblocked: 14, unrefused: 14, trusting: 19, stuck: 11, buriedSilent: 3_482, buried: 27_395 }).map(slow),
];

const ACROSS = 'linearizable across the change';

const reconfigurationRuns: readonly Run[] = [
  clean(reconfiguration('specified', { byzantineNodes: [3] }), 794_726),
  slow(broken(reconfiguration('no adoption barrier', { byzantineNodes: [3], broken: { noBarrier: true } }), ACROSS, 24)),
  broken(reconfiguration('no transfer', { byzantineNodes: [3], broken: { noTransfer: true } }), ACROSS, 19),
  slow(broken(reconfiguration('stale clients are served', { byzantineNodes: [3], broken: { servesStaleClients: true } }), ACROSS, 25)),
  // With one Byzantine node in each configuration the common nodes are all correct, and hide the shortcuts.
  clean(reconfiguration('specified', { byzantineNodes: [0, 4] }), 175_772),
  slow(clean(reconfiguration('no adoption barrier', { byzantineNodes: [0, 4], broken: { noBarrier: true } }), 312_712)),
  clean(reconfiguration('no transfer', { byzantineNodes: [0, 4], broken: { noTransfer: true } }), 85_594),
  slow(clean(reconfiguration('stale clients are served', { byzantineNodes: [0, 4], broken: { servesStaleClients: true } }), 235_988)),
];

const renewalRuns: readonly Run[] = [
  clean(renewal('with renewal', { withRenewal: true }), 976),
  broken(renewal('old certificates stay effective', { withRenewal: false }), 'visible after the change => decodable', 6),
];

interface RollbackCounts {
  readonly n: number;
  readonly f: number;
  readonly found: number;
  readonly missed: number;
  readonly ackLost: number;
  readonly caughtUp: number;
  readonly lateCert: number;
}

function rollbackRuns({ n, f, ...counts }: RollbackCounts): readonly Run[] {
  const FOUND: RollbackInvariant = 'found if acked before the boot';
  const SERVES: RollbackInvariant = 'serves only with every Cert acked before the boot';
  const STOPS: RollbackInvariant = 'stops when it meets its own lost receipt';
  return [
    clean(rollback('n-1-f answers', { n, f, invariants: [FOUND] }), counts.found),
    broken(rollback('n-2-f answers', { n, f, answers: n - 2 - f, invariants: [FOUND] }), FOUND, counts.missed),
    broken(rollback('a CommitAck alone was lost, no catching up', { n, f, lost: 'CommitAck', invariants: [SERVES] }), SERVES, counts.ackLost),
    clean(rollback('takes in the Certs of the answers', { n, f, lost: 'CommitAck', catchesUp: true, invariants: [SERVES] }), counts.caughtUp),
    broken(rollback('acked while v boots, checked once', { n, f, invariants: [STOPS] }), STOPS, counts.lateCert),
    clean(rollback('own receipts watched for ever', { n, f, watchesForEver: true, invariants: [STOPS, FOUND] }), counts.found),
  ];
}

function restartRuns({ n, f, states, stuck }: { readonly n: number; readonly f: number; readonly states: number; readonly stuck: number }): readonly Run[] {
  return [
    clean(restartOfAll('n-1-f answers, from durable state', { n, f }), states),
    deadEnd(restartOfAll('n-f answers', { n, f, answers: n - f }), stuck),
    deadEnd(restartOfAll('answers only after the own check', { n, f, answersEarly: false }), 0),
    broken(restartOfAll('hearsay counts', { n, f, believesHearsay: true }), 'no correct node condemned', 1),
  ];
}

const bootRuns: readonly Run[] = [
  ...rollbackRuns({ n: 4, f: 1, found: 159, missed: 7, ackLost: 8, caughtUp: 199, lateCert: 5 }),
  ...rollbackRuns({ n: 6, f: 1, found: 483, missed: 9, ackLost: 10, caughtUp: 588, lateCert: 7 }),
  ...rollbackRuns({ n: 7, f: 2, found: 462, missed: 9, ackLost: 10, caughtUp: 593, lateCert: 6 }),
  ...rollbackRuns({ n: 9, f: 2, found: 1_050, missed: 11, ackLost: 12, caughtUp: 1_316, lateCert: 8 }),
  ...restartRuns({ n: 4, f: 1, states: 20, stuck: 6 }),
  ...restartRuns({ n: 6, f: 1, states: 252, stuck: 20 }),
  ...restartRuns({ n: 7, f: 2, states: 252, stuck: 20 }),
  clean(incarnation('the copy catches up before the next BOOT'), 178),
  broken(incarnation('a lag above 1 is a mismatch', { copyCatchesUp: false }), 'a correct node starts', 5),
  broken(incarnation('signs before the copy is written', { signsEarly: true }), 'a log older than a signed incarnation is refused', 5),
];

interface VersioningCounts {
  readonly n: number;
  readonly evicted: number;
  readonly evictedByQ: number;
  readonly specified: number;
  readonly madeAfter: number;
  readonly stampIgnored: number;
}

function versioningRuns({ n, ...counts }: VersioningCounts): readonly Run[] {
  const CURRENT = 'current after the switch => decodable';
  const before = { n, made: 'before the switch', acknowledgedBy: 'c' } as const;
  const later = { n, made: 'after the switch', acknowledgedBy: 'c', rule: 'at once' } as const;
  return [
    broken(versioning('evicted at once, switch acked by c', { ...before, rule: 'at once' }), CURRENT, counts.evicted),
    broken(versioning('evicted at once, switch acked by q', { ...before, rule: 'at once', acknowledgedBy: 'q' }), CURRENT, counts.evictedByQ),
    broken(versioning('record asked first', { ...before, rule: 'record asked' }), CURRENT, counts.evicted),
    clean(versioning('W complete, then the record asked', { ...before, rule: 'complete, then record asked' }), counts.specified),
    clean(versioning('bucketStamp obeyed', later), counts.madeAfter),
    broken(versioning('bucketStamp ignored', { ...later, obeysBucketStamp: false }), CURRENT, counts.stampIgnored),
  ];
}

interface DeletionCounts {
  readonly n: number;
  readonly specified: number;
  readonly noBarrier: number;
  readonly prepareOnly: number;
  readonly anyLogs: number;
}

function deletionRuns({ n, ...counts }: DeletionCounts): readonly Run[] {
  const NO_PUT = 'no acknowledged PUT in a deleted bucket';
  return [
    clean(bucketDeletion('LIST of q logs, each read after its node adopted', { n }), counts.specified),
    broken(bucketDeletion('no barrier', { n, barrier: false, listsAfterAdoption: false }), NO_PUT, counts.noBarrier),
    broken(bucketDeletion('CLOSING refuses PREPARE alone', { n, refusesCommit: false }), NO_PUT, counts.prepareOnly),
    broken(bucketDeletion('barrier, but LIST reads any q logs', { n, listsAfterAdoption: false }), NO_PUT, counts.anyLogs),
  ];
}

const bucketRuns: readonly Run[] = [
  ...versioningRuns({ n: 4, evicted: 10, evictedByQ: 10, specified: 1_024, madeAfter: 750, stampIgnored: 10 }),
  ...versioningRuns({ n: 6, evicted: 14, evictedByQ: 16, specified: 52_348, madeAfter: 26_250, stampIgnored: 14 }).map(slow),
  ...deletionRuns({ n: 4, specified: 114, noBarrier: 7, prepareOnly: 9, anyLogs: 9 }),
  ...deletionRuns({ n: 6, specified: 358, noBarrier: 9, prepareOnly: 13, anyLogs: 13 }),
];

const KEPT = 'acknowledged COMPLIANCE => decodable before the time';

const versionRuns: readonly Run[] = [
  broken(retention('REMOVE certified before, not exclusive', { n: 4, exclusive: false }), KEPT, 10),
  clean(retention('receipts for REMOVE and retention exclude each other', { n: 4 }), 82),
  broken(retention('REMOVE certified before, not exclusive', { n: 6, exclusive: false }), KEPT, 14),
  clean(retention('receipts for REMOVE and retention exclude each other', { n: 6 }), 175),
  clean(retention('one more clock fast, f+1 attest', { n: 4, fastClocks: 1 }), 135),
  broken(retention('one more clock fast, own clock alone', { n: 4, fastClocks: 1, attestations: 0 }), KEPT, 10),
  broken(retention('one more clock fast, f attest', { n: 4, fastClocks: 1, attestations: 1 }), KEPT, 10),
  broken(retention('LIMIT: two more clocks fast, f+1 attest', { n: 4, fastClocks: 2 }), KEPT, 10),
];

const SUCCESSOR = 'one certified successor';
const IS_READ = 'what was acknowledged is read';

const slotChainRuns: readonly Run[] = [
  clean(slotChain('specified'), 6_644),
  clean(slotChain('specified, two writes each', { writes: [2, 2] }), 29_976),
  slow(clean(slotChain('specified', { n: 6 }), 40_486)),
  broken(slotChain('closed slots are answered for', { broken: { anyPredecessor: true } }), SUCCESSOR, 21),
  broken(slotChain('a gateway ignores what the promises show', { broken: { ignoresPromises: true } }), SUCCESSOR, 20),
  broken(slotChain('certificate on 2f nodes', { broken: { holders: 2 } }), IS_READ, 16),
  broken(slotChain('a lower certificate is taken', { broken: { takesLower: true } }), IS_READ, 30),
];

const OBJECT = 'certified object => decodable';

function partTableRuns(n: number, counts: { readonly completed: number; readonly aborted: number; readonly lost: number; readonly boundLater: number }): readonly Run[] {
  return [
    clean(partTables('completed', { n }), counts.completed),
    clean(partTables('completed and aborted at once', { n, aborts: true }), counts.aborted),
    broken(partTables('a table names nothing', { n, broken: { tableNamesNothing: true } }), OBJECT, counts.lost),
    broken(partTables('found first, bound later', { n, aborts: true, broken: { bindsLater: true } }), OBJECT, counts.boundLater),
    broken(partTables('accepted without the content', { n, broken: { acceptsWithout: true } }), OBJECT, counts.lost),
    broken(partTables('the tombstone before the table', { n, broken: { tombstoneFirst: true } }), 'open upload => part decodable', 4),
  ];
}

const READS_LAST = 'a read returns what was written last';

const compactionRuns: readonly Run[] = [
  slow(clean(compaction('specified', { user: 'overwrites' }), 89_781)),
  clean(compaction('specified', { user: 'deletes' }), 31_948),
  slow(clean(compaction('specified', { user: 'creates' }), 91_871)),
  broken(compaction('tombstones go before the floor', { user: 'deletes', broken: { dropsTombstones: true } }), READS_LAST, 11),
  broken(compaction('written anew as a PLAIN write', { user: 'overwrites', broken: { plainReissue: true } }), READS_LAST, 18),
  broken(compaction('no barrier', { user: 'overwrites', broken: { noBarrier: true } }), READS_LAST, 18),
  broken(compaction('the old generation is not closed before the floor', { user: 'creates', broken: { notClosed: true } }), READS_LAST, 22),
  slow(broken(compaction('the listing reads any q logs', { user: 'creates', broken: { listsAnyone: true } }), READS_LAST, 18)),
  broken(compaction('the listing does not write back', { user: 'deletes', broken: { noWriteBack: true } }), READS_LAST, 24),
  broken(compaction('a reader keeps answers from before the floor', { user: 'deletes', broken: { keepsAnswers: true } }), READS_LAST, 24),
  broken(compaction('a reader goes by the highest certificate alone', { user: 'deletes', broken: { readerWithoutFloor: true } }), READS_LAST, 22),
];

const SHOWS = 'a listing shows what was acknowledged or shown before';

interface ListingCounts {
  readonly n: number;
  readonly f: number;
  readonly specified: number;
  readonly noWriteBack: number;
  readonly tooFew: number;
  readonly oldCheckpoint: number;
}

function listingRuns({ n, f, ...counts }: ListingCounts): readonly Run[] {
  return [
    clean(listing('specified', { n, f }), counts.specified),
    broken(listing('no write-back', { n, f, broken: { noWriteBack: true } }), SHOWS, counts.noWriteBack),
    broken(listing('certificate on 2f nodes', { n, f, broken: { holders: 2 * f } }), SHOWS, counts.tooFew),
    broken(listing('q-1 logs', { n, f, broken: { logs: n - f - 1 } }), SHOWS, counts.tooFew),
    broken(listing('an old checkpoint is taken', { n, f, broken: { oldCheckpoints: true } }), SHOWS, counts.oldCheckpoint),
  ];
}

const LOCKED = 'acknowledged lock => decodable';

interface LockCounts {
  readonly n: number;
  readonly locked: number;
  readonly governanceLifted: number;
  readonly holdLifted: number;
  readonly plain: number;
}

function objectLockRuns({ n, ...counts }: LockCounts): readonly Run[] {
  return [
    clean(objectLock('the thief may not lift it', { n, lock: 'GOVERNANCE' }), counts.locked),
    clean(objectLock('the thief may not lift it', { n, lock: 'LEGAL_HOLD' }), counts.locked),
    clean(objectLock('nobody may lift it', { n, lock: 'COMPLIANCE', mayLift: true }), counts.locked),
    broken(objectLock('lifted by one who may, so V goes', { n, lock: 'GOVERNANCE', mayLift: true }), LOCKED, counts.governanceLifted),
    broken(objectLock('lifted by one who may, so V goes', { n, lock: 'LEGAL_HOLD', mayLift: true }), LOCKED, counts.holdLifted),
    broken(objectLock('nodes do not ask for the right', { n, lock: 'LEGAL_HOLD', broken: { asksNoRight: true } }), LOCKED, counts.holdLifted),
    broken(objectLock('receipts for the lock do not count', { n, lock: 'LEGAL_HOLD', broken: { receiptsDoNotCount: true } }), LOCKED, counts.governanceLifted),
    broken(objectLock('attributes are PLAIN', { n, lock: 'COMPLIANCE', broken: { plainAttributes: true } }), LOCKED, counts.plain),
  ];
}

/** All runs, by the file that has the model. */
export const runs: Readonly<Record<string, readonly Run[]>> = {
  'register.ts': registerRuns,
  'one-phase.ts': onePhaseRuns,
  'conditional-writes.ts': conditionalRuns,
  'slots.ts': slotRuns,
  'slot-chain.ts': slotChainRuns,
  'reconfiguration.ts': reconfigurationRuns,
  'renewal.ts': renewalRuns,
  'boot.ts': bootRuns,
  'bucket-records.ts': bucketRuns,
  'versions.ts': versionRuns,
  'object-lock.ts': [
    ...objectLockRuns({ n: 4, locked: 710, governanceLifted: 10, holdLifted: 14, plain: 13 }),
    ...objectLockRuns({ n: 6, locked: 2_828, governanceLifted: 14, holdLifted: 24, plain: 20 }),
  ],
  'part-tables.ts': [...partTableRuns(4, { completed: 33, aborted: 135, lost: 10, boundLater: 9 }), ...partTableRuns(6, { completed: 127, aborted: 541, lost: 12, boundLater: 13 })],
  'listing.ts': [
    ...listingRuns({ n: 4, f: 1, specified: 186, noWriteBack: 8, tooFew: 6, oldCheckpoint: 7 }),
    ...listingRuns({ n: 6, f: 1, specified: 770, noWriteBack: 12, tooFew: 8, oldCheckpoint: 9 }),
    ...listingRuns({ n: 7, f: 2, specified: 515, noWriteBack: 10, tooFew: 8, oldCheckpoint: 9 }),
  ],
  'compaction.ts': compactionRuns,
};

/** Is a copy of the incarnation counter on so many other nodes enough, for every cluster there may be? */
export function isCopyAlwaysEnough(copies: (f: number) => number): boolean {
  return Array.from(allQuorums()).every((quorums) => isCopyOnOthersEnough(quorums, copies(quorums.f)));
}
