/** From valid inputs to a mutated one, by what the format allows: bytes always, trees for CBOR and JSON, words for text. */
import { utf8 } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/sim/seeded-random.ts';
import { BYTE_MUTATORS, wordMutator } from './mutate-bytes.ts';
import { mutateTree, treeOfCbor, treeOfJson, writeCbor, writeJson } from './tree.ts';

export type Format =
  | { readonly form: 'bytes' }
  | { readonly form: 'cbor' }
  | { readonly form: 'json' }
  /** `words`: what stands in such texts. */
  | { readonly form: 'text'; readonly words: readonly string[] };

/** Longer inputs are cut: what grows without end finds nothing that this does not. */
export const INPUT_BYTES_MAX = 256 * 1024;

/** A mutated input, from one or two of the valid ones. */
export function mutate(format: Format, valid: readonly Uint8Array[], random: SeededRandom): Uint8Array {
  const start = random.pick(valid);
  const asTree = (format.form === 'cbor' || format.form === 'json') && random.chance(0.7) ? mutatedTree(format.form, start, valid, random) : null;
  if (asTree !== null) return asTree.slice(0, INPUT_BYTES_MAX);
  const word = wordMutator(format.form === 'text' ? format.words : []);
  let bytes = start;
  for (let rounds = roundsOf(random); rounds > 0; rounds -= 1) {
    const isWord = format.form === 'text' ? random.chance(0.5) : format.form === 'json' && random.chance(0.3);
    bytes = (isWord ? word : random.pick(BYTE_MUTATORS))(bytes, random, valid).slice(0, INPUT_BYTES_MAX);
  }
  return bytes;
}

/** Mostly one change, which a decoder must see; now and then several. */
function roundsOf(random: SeededRandom): number {
  return random.chance(0.6) ? 1 : 2 + random.below(6);
}

function mutatedTree(form: 'cbor' | 'json', start: Uint8Array, valid: readonly Uint8Array[], random: SeededRandom): Uint8Array | null {
  const read = form === 'cbor' ? treeOfCbor : treeOfJson;
  let tree = read(start);
  if (tree === null) return null;
  const lender = read(random.pick(valid));
  for (let rounds = roundsOf(random); rounds > 0; rounds -= 1) tree = mutateTree(tree, random, lender === null ? [] : [lender]);
  if (form === 'json') return utf8(writeJson(tree));
  if (random.chance(0.75)) return writeCbor(tree);
  // In all else canonical: nothing but one head must betray it.
  let wide = random.below(30);
  return writeCbor(tree, random.chance(0.5) ? { isRough: true } : { isWide: () => (wide -= 1) === 0 });
}
