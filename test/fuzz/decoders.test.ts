/**
 * Every target, with a fixed number of mutated inputs from a fixed seed and with the saved corpus. A finding
 * prints its input and the line that replays it; `npm run fuzz` goes on for as long as asked.
 */
import { describe, expect, it } from 'vitest';
import { savedInputs, savedTargets } from './corpus.ts';
import { describeFinding, fuzz } from './engine.ts';
import { targets } from './targets.ts';

describe('mutated inputs find nothing', () => {
  for (const target of targets) {
    it(target.name, async () => {
      const report = await fuzz(target, { seed: '1', saved: savedInputs(target.name), count: target.inputs });
      expect(report.findings.map(describeFinding).join('\n\n')).toBe('');
      // A target that accepts only its seeds, or everything, would try nothing behind the first check.
      expect(report.accepted).toBeGreaterThan(0);
      expect(report.inputs).toBeGreaterThanOrEqual(target.inputs);
    }, 120_000);
  }
});

describe('the corpus', () => {
  it('belongs to targets that exist', () => {
    expect(savedTargets().filter((name) => !targets.some((target) => target.name === name))).toEqual([]);
  });

  it('is small', () => {
    const bytes = savedTargets().flatMap(savedInputs).reduce((sum, input) => sum + input.length, 0);
    expect(bytes).toBeLessThan(1024 * 1024);
  });
});
