import { expect, test } from 'vitest';
import { CountingTelemetry, ShiftedClock } from '../s3-world.contract.ts';
import type { Credential } from '../auth/principal.ts';
import { KeyMeter } from './key-meter.ts';

/** Time stands until the test moves it. */
class StillClock extends ShiftedClock {
  override monotonicMs(): number {
    return this.shiftMs;
  }
}

const credential = (requestsPerSecond?: number, bytesPerSecond?: number): Credential => ({
  secretAccessKey: 's',
  account: { id: 'a'.repeat(64), displayName: 'a' },
  limits: { requestsPerSecond, bytesPerSecond },
});

function world(): { clock: StillClock; telemetry: CountingTelemetry; meter: KeyMeter } {
  const clock = new StillClock();
  const telemetry = new CountingTelemetry();
  return { clock, telemetry, meter: new KeyMeter(clock, telemetry) };
}

test('a key has so many requests a second, at once or spread, and is slowed with a counted reason', () => {
  const { clock, telemetry, meter } = world();
  const limited = credential(3);
  for (let i = 0; i < 3; i += 1) meter.admit('k', limited, 0);
  expect(() => meter.admit('k', limited, 0)).toThrow('rate');
  expect(telemetry.counts.get('s3_slowed reason=key-requests')).toBe(1);
  clock.shiftMs += 1000;
  for (let i = 0; i < 3; i += 1) meter.admit('k', limited, 0);
  expect(() => meter.admit('k', limited, 0)).toThrow('rate');
});

test('over a minute a key gets its rate, however it asks', () => {
  const { clock, meter } = world();
  let admitted = 0;
  for (clock.shiftMs = 0; clock.shiftMs < 60_000; clock.shiftMs += 17) {
    try {
      meter.admit('k', credential(10), 0);
      admitted += 1;
    } catch {
      continue;
    }
  }
  expect(admitted).toBeGreaterThan(590);
  expect(admitted).toBeLessThan(620);
});

test('a large body is let in and waited out, and an answer counts too', () => {
  const { clock, telemetry, meter } = world();
  const limited = credential(undefined, 1000);
  meter.admit('k', limited, 3000);
  clock.shiftMs += 1500;
  expect(() => meter.admit('k', limited, 0)).toThrow('rate');
  expect(telemetry.counts.get('s3_slowed reason=key-bytes')).toBe(1);
  clock.shiftMs += 1000;
  meter.admit('k', limited, 0);
  meter.charge('k', 2000);
  clock.shiftMs += 1000;
  expect(() => meter.admit('k', limited, 0)).toThrow('rate');
});

test('one key does not use up another’s share, and one without limits is only counted', () => {
  const { meter } = world();
  meter.admit('a', credential(1), 0);
  expect(() => meter.admit('a', credential(1), 0)).toThrow('rate');
  for (let i = 0; i < 100; i += 1) meter.admit('b', credential(), 5);
  meter.charge('b', 7);
  const use = meter.uses().get('b');
  expect(use).toMatchObject({ requests: 100, bytesIn: 500, bytesOut: 7 });
  expect(Math.abs((use?.lastUsedMs ?? 0) - Date.now())).toBeLessThan(60_000);
});

test('a new rate holds from the next request on', () => {
  const { meter } = world();
  meter.admit('k', credential(1), 0);
  meter.admit('k', credential(5), 0);
  meter.admit('k', credential(), 0);
});
