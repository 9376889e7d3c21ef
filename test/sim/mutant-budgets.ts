/**
 * What the simulator makes of each mutant (test/invariants/mutants.ts). Seeds count from the first on. They are
 * chosen with room: which seed finds a mutant changes with every change of what a run does.
 */

interface Budget {
  /** Seeds, from the first on, within which `npm run sim -- --mutant ID` finds a violation. */
  readonly seeds: number;
  /** What the runs are about (src/sim/themes.ts), where a mixed campaign would take long. */
  readonly theme?: string;
  /** The strategy against which the rule stands; then there are no faults but its lies. */
  readonly adversary?: string;
}

export const seedBudgets: Readonly<Record<string, Budget>> = {
  'one-manifest-a-stamp': { seeds: 100 },
  floor: { seeds: 100 },
  never: { seeds: 100 },
  'certificate-of-q': { seeds: 100 },
  'distinct-slots': { seeds: 100 },
  'receipts-verify': { seeds: 100 },
  'prepared-k': { seeds: 200 },
  'cell-of-its-row': { seeds: 100 },
  'row-of-its-matrix': { seeds: 100 },
  'body-of-its-manifest': { seeds: 100 },
  'abort-licence-counts': { seeds: 100 },
  'abort-licence-verifies': { seeds: 100 },
  'c-holders': { seeds: 100 },
  'max-never-falls': { seeds: 100 },
  'write-back': { seeds: 100 },
  'guess-writes-again': { seeds: 100 },
  'quorum-of-replies': { seeds: 100 },
  'receipt-after-sync': { seeds: 100 },
  'cell-sync': { seeds: 100 },
  'single-use-stamp': { seeds: 100 },
  'session-nonce': { seeds: 100 },
  'cell-verified': { seeds: 150 },
  'row-verified': { seeds: 150 },
  'counter-step': { seeds: 100 },
  generation: { seeds: 100 },
  'no-retention': { seeds: 100 },
  'prepared-epoch': { seeds: 100 },
  'boot-check-receipts': { seeds: 200 },
  'own-receipts-checked': { seeds: 100 },
  'lower-hides-no-lack': { seeds: 100 },
  'commit-is-durable': { seeds: 150, theme: 'power' },
  'boot-check-incarnation': { seeds: 50, theme: 'power' },
  'listing-writes-back': { seeds: 50, theme: 'listings' },
  'unknown-stays-unknown': { seeds: 50, theme: 'gateways' },
  'late-result-kept': { seeds: 60, theme: 'gateways' },
  'journal-before-nodes': { seeds: 100, theme: 'gateways' },
  'listing-barrier': { seeds: 50, theme: 'listings' },
  'loser-collected': { seeds: 100, theme: 'power' },
  'results-outlive-index': { seeds: 200, theme: 'gateways' },
  'nodes-get-no-cells': { seeds: 20 },
  'plain-only': { seeds: 50 },
  'bucket-record': { seeds: 50 },
  'denial-is-evidence': { seeds: 100 },
  'sender-may-write': { seeds: 100 },
  quota: { seeds: 200 },
  'upload-sync': { seeds: 60, theme: 'uploads' },
  'winner-written-back': { seeds: 100, theme: 'greedy' },
  'manifest-verifies': { seeds: 50 },
  'quorums-meet': { seeds: 100 },
  'licence-despite-liars': { seeds: 60, adversary: 'swears-never' },
  'receipt-judged': { seeds: 10, adversary: 'bad-receipts' },
  'certificate-of-its-key': { seeds: 10, adversary: 'confused' },
  'quorum-without-f': { seeds: 10, adversary: 'silent' },
  'holders-without-f': { seeds: 10, adversary: 'withholds-certificates' },
  'another-is-asked': { seeds: 10, adversary: 'withholds-cells' },
  'fork-is-evidence': { seeds: 10, adversary: 'forks-its-log' },
};

/** Why the simulator does not see a rule go; the test that does is named in mutants.ts. */
export const unseen: Readonly<Record<string, string>> = {
  'configured-k': 'a configuration with such a k is refused before there is a run',
  'certified-k': 'needs q receipts of correct nodes for what none of them signs',
  'certified-epoch': 'needs q receipts of correct nodes for what none of them signs',
  'acknowledgement-judged': 'a write waits for so many that f false acknowledgements do no harm',
  'sender-owns-writer': 'the rule on the id of the writer, which follows it, refuses the same requests',
  'abandoned-before-next': 'the journal writes in order, so that no crash comes between the two',
  'complete-before-never': 'costs an answer, and breaks no promise',
  'garbage-step-1': 'hurts a reader that is slower than collection, and no run reads so slowly',
  'garbage-step-2': 'hurts a reader that is slower than collection, and no run reads so slowly',
  'read-lease': 'hurts a reader that is slower than collection, and no run reads so slowly',
  'shared-content': 'two versions share a content after a multipart upload alone, which no run does',
  'overwritten-after-winner': 'not found yet',
  'tail-is-whole': 'not found yet',
  're-encode': 'hurts a reader of what a stolen writer encoded wrongly, and no run reads that',
  'replaced-is-no-loss': 'a correct node answers SUPERSEDED there, and no liar accuses itself falsely',
};
