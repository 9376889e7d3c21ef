import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from './exit-codes.ts';
import { SupervisedChild } from './supervisor.ts';

let root: string;
const running: SupervisedChild[] = [];
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-supervisor-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.stop()));
  fs.rmSync(root, { recursive: true, force: true });
});

/** A child that runs `script`; `states` receives each of its states. */
function child(script: string): { supervised: SupervisedChild; states: string[]; until: (state: string, count?: number) => Promise<void> } {
  const program = path.join(root, 'child.mjs');
  fs.writeFileSync(program, script);
  const states: string[] = [];
  let notify = (): void => undefined;
  const supervised = new SupervisedChild({
    name: 'child',
    program,
    args: [],
    logFile: path.join(root, 'child.log'),
    onChange: ({ state }) => {
      states.push(state);
      notify();
    },
  });
  running.push(supervised);
  const until = async (state: string, count = 1): Promise<void> => {
    while (states.filter((seen) => seen === state).length < count) await new Promise<void>((resolve) => (notify = resolve));
  };
  return { supervised, states, until };
}

const SERVE = "process.send({ type: 'serving' }); process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000);";

describe('a supervised child', () => {
  it('serves, stops when it is told to, and is not started again then', async () => {
    const { supervised, states, until } = child(SERVE);
    supervised.start();
    await until('serving');
    await supervised.stop();
    expect(states).toEqual(['starting', 'serving', 'stopped']);
    expect(supervised.pid).toBeUndefined();
  });

  it('is started again after a crash', async () => {
    const { supervised, until } = child(SERVE);
    supervised.start();
    await until('serving');
    process.kill(supervised.pid ?? 0, 'SIGKILL');
    await until('serving', 2);
    expect(supervised.restarts).toBe(1);
    expect(supervised.failure?.message).toContain('SIGKILL');
  });

  it('is not started again once it said that its state is lost', async () => {
    const { supervised, until } = child(
      `process.send({ type: 'failed', code: 'LOST_STATE', message: 'the journal is gone' }, () => process.exit(${EXIT.lostState}));`,
    );
    supervised.start();
    await until('lost');
    expect(supervised.failure).toMatchObject({ code: 'LOST_STATE', message: 'the journal is gone' });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(supervised.state).toBe('lost');
    expect(supervised.pid).toBeUndefined();
  });

  it('cannot harm its parent with messages that are none', async () => {
    const { supervised, until } = child(`process.send('x'); process.send({ type: 'failed' }); process.send({ type: 'serving', more: 1 }); ${SERVE}`);
    supervised.start();
    await until('serving');
    expect(supervised.state).toBe('serving');
  });

  it('leaves what it prints in its log', async () => {
    const { supervised, until } = child(`console.error('a line'); ${SERVE}`);
    supervised.start();
    await until('serving');
    expect(fs.readFileSync(path.join(root, 'child.log'), 'utf8')).toBe('a line\n');
    expect(fs.statSync(path.join(root, 'child.log')).mode & 0o777).toBe(0o600);
  });
});
