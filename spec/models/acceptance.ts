/**
 * The node of a model decides with the predicates of the real node: this file builds what they look at from the
 * few numbers that a model knows. Stamps of a model are positions in the order that the real compareStamps gives.
 */
import { p6AboveMax, p8OneManifest } from '../../src/protocol/predicates.ts';
import type { PrepareView } from '../../src/protocol/predicates.ts';
import type { SignedManifest } from '../../src/protocol/manifest.ts';
import { compareStamps, ZERO_STAMP } from '../../src/protocol/stamp.ts';
import type { Stamp } from '../../src/protocol/stamp.ts';

/** Writers of a model are numbered from 1; a writer's number is the last byte of its identity. */
export interface ModelStamp {
  readonly counter: number;
  /** 0 only with the stamp of "no version". */
  readonly writer: number;
}

/** All stamps of a model in their real order; the first, "no version", is below every other. */
export function orderedStamps(writerCount: number, counterMax: number): readonly ModelStamp[] {
  const stamps: ModelStamp[] = [{ counter: 0, writer: 0 }];
  for (let writer = 1; writer <= writerCount; writer++) {
    for (let counter = 1; counter <= counterMax; counter++) stamps.push({ counter, writer });
  }
  return stamps.sort((a, b) => compareStamps(realStamp(a), realStamp(b)));
}

/** The stamp of the implementation for one of a model. */
export function realStamp({ counter, writer }: ModelStamp): Stamp {
  if (writer === 0) return ZERO_STAMP;
  const writerId = new Uint8Array(16);
  writerId[15] = writer;
  return { gen: 1, counter, writerId };
}

/** The question whether a node may accept a manifest, in the numbers of a model. */
export interface Question {
  /** Position of the manifest's stamp. */
  readonly stamp: number;
  /** Which of the manifests with this stamp: only a Byzantine writer makes several. */
  readonly value: number;
  /** Position of the stamp of the highest certificate that the node holds. */
  readonly maxStamp: number;
  /** Which manifest the node has accepted for this stamp, if it remembers one. */
  readonly acceptedValue: number | undefined;
}

/** Which predicates a node of the model asks; a broken variant leaves one out. */
export interface AskedPredicates {
  readonly p6: boolean;
  readonly p8: boolean;
}

/** Does a node accept? Judged by P6 and P8 of the implementation, each answer kept, because a model asks millions of times. */
export function makeAcceptance(stamps: readonly ModelStamp[], asked: AskedPredicates): (question: Question) => boolean {
  const answers = new Map<number, boolean>();
  return (question) => {
    const { stamp, value, maxStamp, acceptedValue = -1 } = question;
    const key = ((stamp * stamps.length + maxStamp) * 8 + value) * 8 + acceptedValue + 1;
    let answer = answers.get(key);
    if (answer === undefined) {
      answer = judge(stamps, asked, question);
      answers.set(key, answer);
    }
    return answer;
  };
}

function judge(stamps: readonly ModelStamp[], asked: AskedPredicates, { stamp, value, maxStamp, acceptedValue }: Question): boolean {
  const real = (position: number): Stamp => realStamp(stamps[position] ?? { counter: 0, writer: 0 });
  const hashOf = (which: number): Uint8Array => Uint8Array.of(stamp, which);
  // P6 and P8 look at these fields alone. Were one to look at another, it would find undefined and say so.
  const signed = { manifest: { stamp: real(stamp) }, hash: hashOf(value) } as SignedManifest;
  const view = {
    maxStamp: real(maxStamp),
    acceptedHash: acceptedValue === undefined ? undefined : hashOf(acceptedValue),
    promisedNever: false,
  } as PrepareView;
  return (!asked.p6 || p6AboveMax(signed, view) === null) && (!asked.p8 || p8OneManifest(signed, view) === null);
}
