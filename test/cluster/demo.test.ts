/** The demo with a small file, as a slow test: each of its steps checks itself. */
import { describe, expect, it } from 'vitest';
import { Program, root } from './programs.ts';
import path from 'node:path';
import { IS_SLOW } from '../slow.ts';

describe.runIf(IS_SLOW)('npm run demo', () => {
  it('passes all its steps', async () => {
    const demo = new Program(['--script', 'tools/demo', '--mib', '8', '--port', '18099'], path.join(root, 'tools', 'start.mjs'));
    expect(await demo.ended, demo.stdout + demo.stderr).toMatchObject({ code: 0 });
    expect(demo.stdout.trimEnd().split('\n').at(-1)).toMatch(/^demo: all \d+ steps passed$/);
  }, 600_000);
});
