/**
 * Evidence in plain words, for who reads it first: what each kind is about, what the words in it mean, and what
 * to do about it.
 */
import type { EvidenceType } from '../evidence/evidence.ts';
import type { Weight } from '../evidence/finding.ts';

interface Words {
  /** In one line. */
  readonly about: string;
  readonly meaning: string;
  readonly todo: string;
}

const REPLACE = 'Rely on nothing that this node says, and have its operator explain it. The data is safe as long as no more nodes are faulty than the cluster bears.';
const REVOKE = 'Take it that somebody else has this gateway\'s key, or that its software is broken: stop the gateway, and have the admins revoke the key.';
const RECEIPT = 'A manifest describes one version of an object, and a stamp is the version\'s place among all of its key. A receipt is a node\'s promise that it has accepted a manifest and keeps its share.';
const LOG = 'A node writes what it does into a log that only grows. A checkpoint is its signature under the whole log at one size; the root is a digest of all entries up to there.';
const CONTENT = 'A content is cut into stripes, and each stripe into cells, one a node. A row is the list of the cells\' digests, which the writer has committed to.';

export const WORDS: Readonly<Record<EvidenceType, Words>> = {
  E1: {
    about: 'two manifests for one stamp',
    meaning: 'A manifest describes one version of an object, and a stamp is the version\'s place among all of its key. A gateway uses a stamp once.',
    todo: REVOKE,
  },
  E2: { about: 'receipts for two manifests where one may be accepted', meaning: RECEIPT, todo: REPLACE },
  E3: { about: 'two histories of one log', meaning: LOG, todo: REPLACE },
  E4: {
    about: 'another log entry than was promised',
    meaning: `${LOG} Each promise of a node names the place of the log where it stands.`,
    todo: REPLACE,
  },
  E5: {
    about: 'a version denied that was acknowledged',
    meaning: 'An acknowledgement is a node\'s promise that a version stands at a place of its log, so that it shows this version or a later one from then on.',
    todo: REPLACE,
  },
  'E5-log': {
    about: 'a log that shrank',
    meaning: `${LOG} The later checkpoint answers a challenge that could be made by who knew the earlier one alone.`,
    todo: 'If its operator has put an older disk or a backup back, the node must join anew under another name: what it promised since is forgotten. Else rely on nothing that it says.',
  },
  E6: {
    about: 'a content lost that was promised',
    meaning: `${RECEIPT} Here the node says itself, under signature, that it lacks its share.`,
    todo: 'Have the node repaired; the others have enough to rebuild its share. Look at its disk. If its log shows neither a hole nor an eviction from before it said so, it has lied.',
  },
  'E6-row': { about: 'a row made up for a content', meaning: CONTENT, todo: REPLACE },
  'E6-audit': {
    about: 'a wrong cell for a challenge',
    meaning: `${CONTENT} A challenge asks a node to show one of its cells at once, and sign what it shows.`,
    todo: REPLACE,
  },
  E7: {
    about: 'a locked version let go',
    meaning: `A version under COMPLIANCE is to be kept until its time has come, whoever asks for what. ${LOG}`,
    todo: REPLACE,
  },
  E8: {
    about: 'a content that is no codeword',
    meaning: `${CONTENT} Any few of the cells must give the same bytes.`,
    todo: `What this gateway wrote cannot be read for sure. ${REVOKE}`,
  },
  E9: {
    about: 'two configurations of one epoch',
    meaning: 'The configuration says who the members are. Each new one has the next epoch, and needs the signatures of so many admins that there is never a second.',
    todo: 'Stop changing the configuration, and find out who has used the admins\' keys. Members keep the first one that they have adopted.',
  },
  E10: {
    about: 'a receipt of an epoch that was over',
    meaning: `${RECEIPT} A node that has adopted a configuration logs it, and gives no receipt of an earlier one from then on.`,
    todo: REPLACE,
  },
  E11: {
    about: 'two proposals in one ballot',
    meaning: 'Which version may follow another is decided by a vote of the nodes. In each of its ballots the gateway that asked for it proposes one version.',
    todo: REVOKE,
  },
  E12: { about: 'a receipt for what nobody may accept', meaning: RECEIPT, todo: REPLACE },
};

/** Of who is no node, and has no disk to lose: only who has the key signs. */
export const KEY_WORDS = 'a lie by whoever has the key, or software that is broken: chance signs nothing';

/** Of a node. Loss and lie are told apart (protocol 13.10). */
export const WEIGHT_WORDS: Readonly<Record<Weight, string>> = {
  lie: 'a lie, or a state put back to an older one: a crash or a broken disk does not make correct software sign this',
  loss: 'a loss, not a lie: the node says openly that its disk no longer holds what it promised',
  'loss-or-lie': 'a loss or a lie: the node denies what it promised, and the file does not tell whether it ever noted a loss',
};
