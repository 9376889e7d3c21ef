/** Real nodes under attack: a few adversaries in the fast run, all of `npm run demo:attack` in the slow one. The demo checks itself. */
import { describe, expect, it } from 'vitest';
import { IS_SLOW } from '../slow.ts';
import { Program, buildPrograms, root } from './programs.ts';
import path from 'node:path';

const DEMO = path.join(root, 'node_modules', '.cache', 'companions', 'tools', 'demo-attack.js');
/** Lies that are proven, by who reads cells and by who follows logs. */
const FAST = ['denies-cells', 'acknowledges-ahead'];

describe('npm run demo:attack', () => {
  it('catches who lies, proves it, and reads on', async () => {
    buildPrograms();
    const demo = new Program(['--port', '18199', ...(IS_SLOW ? [] : ['--only', FAST.join(',')])], DEMO);
    expect(await demo.ended, demo.stdout + demo.stderr).toMatchObject({ code: 0 });
    expect(demo.stdout).toMatch(/provable: yes, (gateway|controller)\/evidence\/E6-/);
    expect(demo.stdout.trimEnd().split('\n').at(-1)).toMatch(/^demo:attack: \d+ adversaries, \d+ of them proven guilty, nobody else accused, every read identical$/);
  }, 1_200_000);
});
