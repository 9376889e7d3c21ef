import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { compare, countByGroup, countFunctions, docsSection, parseKnownFailures, sectionOf, table } from './report.ts';
import { groupOf } from './selection.ts';
import type { CaseResult } from './suite.ts';

function result(name: string, outcome: CaseResult['outcome']): CaseResult {
  return { file: 'test_s3.py', case: name, outcome, reason: '', line: 1, seconds: 1, marks: [] };
}

const known = parseKnownFailures('# a reason\ntest_a\n\n# another\ntest_copy_enc\n');
const inDocs = (document: string, reason: string): boolean => document.includes(`- ${reason}: `);

describe('what a run of the conformance suite came to', () => {
  it('reads which cases are known not to pass, each under its reason', () => {
    expect(known).toEqual([
      { case: 'test_a', reason: 'a reason' },
      { case: 'test_copy_enc', reason: 'another' },
    ]);
    expect(() => parseKnownFailures('test_a')).toThrow('no reason');
    expect(() => parseKnownFailures('# a\ntest_a\n# b\ntest_a')).toThrow('twice');
  });

  it('tells failures that nobody expected, passes that nobody expected, and names of no case', () => {
    const results = [result('test_a', 'passed'), result('test_copy_enc[1]', 'failed'), result('test_copy_enc[2]', 'passed'), result('test_b', 'failed')];
    const told = compare(results, known, true);
    expect(told.unexpectedFailures.map((one) => one.case)).toEqual(['test_b']);
    expect(told.unexpectedPasses).toEqual(['test_a']);
    expect(told.unknown).toEqual([]);
    expect(compare([], known, true).unknown).toEqual(['test_a', 'test_copy_enc']);
    expect(compare([], known, false).unknown).toEqual([]);
  });

  it('counts a case with parameters once, as passed when all of them pass, and none that was skipped', () => {
    const results = [result('test_x[1]', 'passed'), result('test_x[2]', 'failed'), result('test_y[1]', 'passed'), result('test_z', 'skipped')];
    expect(countFunctions(results)).toEqual({ passed: 1, all: 2 });
  });

  it('counts by groups of features', () => {
    expect(groupOf('test_multipart_put_object_if_match')).toBe('conditional writes');
    expect(groupOf('test_object_lock_get_obj_lock')).toBe('object lock');
    const results = [result('test_object_lock_x', 'passed'), result('test_object_lock_y', 'failed')];
    expect(countByGroup(results)).toEqual([{ group: 'object lock', passed: 1, failed: 1, skipped: 0 }]);
    expect(table(countByGroup(results)).split('\n')[1]).toMatch(/^object lock +1 +1$/);
  });

  it('writes a section for the document that it finds again', () => {
    const section = docsSection([result('test_a', 'failed'), result('test_b', 'passed')], known, 'c0ffee0');
    expect(section).toContain('**1 of 2** selected cases');
    expect(inDocs(section, 'a reason')).toBe(true);
    expect(sectionOf(`before\n${section}\nafter`)).toBe(section);
    expect(sectionOf('nothing')).toBeUndefined();
  });

  it('docs/s3.md gives every reason for which a case does not pass', () => {
    const document = fs.readFileSync(path.join(import.meta.dirname, '../../../docs/s3.md'), 'utf8');
    const listed = parseKnownFailures(fs.readFileSync(path.join(import.meta.dirname, 'known-failures.txt'), 'utf8'));
    for (const { case: name, reason } of listed) {
      expect(inDocs(document, reason), reason).toBe(true);
      expect(document).toContain(`\`${name}\``);
    }
  });
});
