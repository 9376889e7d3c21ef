/** Every run of every model comes out as expectations.ts says. The slow ones with `npm run test:full`. */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareStamps } from '../../src/protocol/stamp.ts';
import { IS_SLOW } from '../../test/slow.ts';
import { makeAcceptance, orderedStamps } from './acceptance.ts';
import { countAbortLicences, countGeometries, countQuorums } from './counting.ts';
import { check } from './engine.ts';
import { describeExpected, isCopyAlwaysEnough, runs, surprise } from './expectations.ts';
import { renewal } from './renewal.ts';

const QUICK_TIMEOUT_MS = 2 * 60_000;
const SLOW_TIMEOUT_MS = 30 * 60_000;

describe.each(Object.entries(runs))('%s', (_, modelRuns) => {
  for (const run of modelRuns) {
    it.skipIf(run.isSlow && !IS_SLOW)(
      run.name,
      async () => {
        const found = surprise(run, await run.run());
        if (found !== null) expect.fail(found);
      },
      run.isSlow ? SLOW_TIMEOUT_MS : QUICK_TIMEOUT_MS,
    );
  }
});

describe('counting.ts', () => {
  it('quorums, holders and barriers hold for every n up to the limit', () => {
    expect(countQuorums()).toEqual({ cases: 245, failures: [] });
  });

  it('no abort licence leaves a certificate possible', () => {
    expect(countAbortLicences()).toEqual({ cases: 17_036, failures: [] });
  });

  it('checkGeometry takes what is sound and nothing else', () => {
    expect(countGeometries().failures).toEqual([]);
  });

  it('the incarnation on 2f other nodes is found again, on 2f-1 perhaps not', () => {
    expect(isCopyAlwaysEnough((f) => 2 * f)).toBe(true);
    expect(isCopyAlwaysEnough((f) => 2 * f - 1)).toBe(false);
  });
});

describe('the expectations', () => {
  const all = Object.values(runs).flat();

  it('have a name each', () => {
    expect(new Set(all.map((run) => run.name)).size).toBe(all.length);
  });

  it('are the ones that README.md shows, and no others', () => {
    const text = fs.readFileSync(path.join(import.meta.dirname, 'README.md'), 'utf8');
    const shown = text.split('\n').filter((line) => /^\| .+: .+ \| (clean|violates|dead end)/.test(line));
    expect(shown).toEqual(all.map((run) => `| ${run.name} | ${describeExpected(run.expected)} |${run.isSlow ? ' slow |' : ' |'}`));
  });

  it('call a run that comes out otherwise a surprise, and show the way there', () => {
    const outcome = check(renewal('old certificates stay effective', { withRenewal: false }));
    const run = all.find(({ name }) => name === 'renewal: with renewal');
    const found = run === undefined ? null : surprise(run, outcome);
    expect(found).toContain('expected: clean, 976 states');
    expect(found).toContain('1. node 0 gives a receipt in the old epoch');
  });
});

describe('what a node of a model may accept', () => {
  it('stamps stand in the order of the implementation: counter first, then writer', () => {
    expect(orderedStamps(2, 2)).toEqual([
      { counter: 0, writer: 0 },
      { counter: 1, writer: 1 },
      { counter: 1, writer: 2 },
      { counter: 2, writer: 1 },
      { counter: 2, writer: 2 },
    ]);
    const writerId = (last: number): Uint8Array => new Uint8Array(16).with(15, last);
    expect(compareStamps({ gen: 1, counter: 1, writerId: writerId(2) }, { gen: 1, counter: 2, writerId: writerId(1) })).toBeLessThan(0);
  });

  it('is what P6 and P8 let pass', () => {
    const stamps = orderedStamps(2, 1);
    const accepts = makeAcceptance(stamps, { p6: true, p8: true });
    expect(accepts({ stamp: 2, value: 0, maxStamp: 1, acceptedValue: undefined })).toBe(true);
    expect(accepts({ stamp: 1, value: 0, maxStamp: 1, acceptedValue: undefined })).toBe(false);
    expect(accepts({ stamp: 1, value: 0, maxStamp: 0, acceptedValue: 1 })).toBe(false);
    expect(accepts({ stamp: 1, value: 1, maxStamp: 0, acceptedValue: 1 })).toBe(true);
    expect(makeAcceptance(stamps, { p6: false, p8: true })({ stamp: 1, value: 0, maxStamp: 1, acceptedValue: undefined })).toBe(true);
    expect(makeAcceptance(stamps, { p6: true, p8: false })({ stamp: 1, value: 0, maxStamp: 0, acceptedValue: 1 })).toBe(true);
  });
});
