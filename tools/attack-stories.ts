/** What each adversary of the simulator does, in the words of `npm run demo:attack`. */
import type { StrategyName } from '../src/sim/adversaries/strategies.ts';

export interface Story {
  readonly does: string;
  /**
   * Does it sign promises that the node behind it knows nothing of? Then the node can never serve again: it finds
   * others holding its word for what its log lacks.
   */
  readonly burns?: true;
  /** Is it noticed by who reads cells from it? Then it must be in a slot that readers prefer. */
  readonly isRead?: true;
  /** Why the demo leaves it out. */
  readonly skipped?: string;
}

/** Those of the simulator, and one for the controller, which the simulator has none of. */
export type AttackName = StrategyName | 'wrong-audits';

export const STORIES: Readonly<Record<AttackName, Story>> = {
  honest: { does: 'tells the truth', skipped: 'it is there for comparison' },
  'wrong-cells': { does: 'flips a bit in every cell and body that it serves', isRead: true },
  'wrong-rows': { does: 'flips a bit in every row of hashes that it serves', isRead: true },
  'other-cells': { does: 'serves cells of its own making, in rows that fit them', isRead: true },
  'other-cells-in-honest-rows': { does: 'serves cells of its own making, in honest rows', isRead: true },
  forgetful: { does: 'says that it knows no version of anything' },
  stale: { does: 'gives the first answer about each key for ever' },
  'bad-receipts': { does: 'gives receipts whose signature is wrong' },
  'bad-acknowledgements': { does: 'gives acknowledgements whose signature is wrong, and forgets the versions' },
  'bad-certificates': { does: 'shows certificates of contents that nobody wrote' },
  'higher-versions': { does: 'shows certificates of versions that nobody wrote' },
  'certifies-alone': { does: 'shows as certified what it alone has signed', burns: true },
  confused: { does: 'shows the version of one key for every key' },
  garbage: { does: 'answers everything with bytes that mean nothing' },
  denier: { does: 'says without a signature that it holds nothing', isRead: true },
  'denies-cells': { does: 'says under signature that it holds none of the cells that it has promised to keep', isRead: true },
  'signs-everything': { does: 'signs a receipt for whatever it is shown, and keeps nothing', burns: true },
  'acknowledges-and-forgets': { does: 'acknowledges every version, and keeps none' },
  'promises-all': { does: 'promises and acknowledges everything, and keeps nothing', burns: true },
  'swears-never': { does: 'swears that it will never sign what it has signed' },
  'signs-and-swears-never': { does: 'signs whatever it is shown, and swears that it never will', burns: true },
  'forks-its-log': { does: 'shows now one history of its log, now another' },
  'rolls-back-its-log': { does: 'shows its log as it was some time ago' },
  'claims-to-be-full': { does: 'says that its disk is full' },
  'refuses-some': { does: 'refuses to work for half of all keys' },
  replays: { does: 'gives everybody the answer that it gave to the one before' },
  'withholds-certificates': { does: 'never answers who brings a certificate' },
  'withholds-cells': { does: 'never answers who asks for a cell', isRead: true },
  silent: { does: 'takes every request, and answers none' },
  late: { does: 'answers everything six seconds late' },
  'two-faced': { does: 'is honest to the first that it hears of, and lies to all others', skipped: 'here is one gateway alone, to which it would be honest' },
  fickle: { does: 'lies now in this way, now in that', burns: true },
  'acknowledges-ahead': { does: 'acknowledges versions at places of its log where something else will stand' },
  'denies-what-it-acknowledged': { does: 'confirms its log, and denies the versions that it has acknowledged there' },
  'invents-rows': { does: 'signs rows of hashes of its own making', isRead: true },
  'accepts-two': { does: 'signs receipts for two versions where one alone may be' },
  'accepts-unlawful': { does: 'signs receipts for versions that the configuration forbids everybody to accept' },
  'wrong-audits': { does: 'answers the controller\'s challenges with cells of its own making' },
  'evicts-what-is-locked': { does: 'lets go of versions under COMPLIANCE, and logs it' },
};
