/** Saved inputs: test/fuzz/corpus/<target>/, one file each. Those that once found something stay for ever. */
import fs from 'node:fs';
import path from 'node:path';
import { nameOf } from './engine.ts';

/** The folder in the repository whose tests or programs run here. */
function corpusFolder(): string {
  return path.join(process.cwd(), 'test', 'fuzz', 'corpus');
}

export function savedInputs(target: string): Uint8Array[] {
  const folder = path.join(corpusFolder(), target);
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .sort()
    .map((name) => Uint8Array.from(fs.readFileSync(path.join(folder, name))));
}

/** Targets that have saved inputs. */
export function savedTargets(): string[] {
  return fs.existsSync(corpusFolder()) ? fs.readdirSync(corpusFolder()).sort() : [];
}

/** Writes an input to the corpus; returns its path. */
export function saveInput(target: string, input: Uint8Array): string {
  const folder = path.join(corpusFolder(), target);
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, nameOf(input));
  fs.writeFileSync(file, input);
  return path.relative(process.cwd(), file);
}
