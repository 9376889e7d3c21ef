import { it } from 'vitest';
import { clientOf, committed, committedSlot, contentOf, put, putRecord, putSlot, recordOf } from '../world/client-world.ts';
import { World } from '../world/world.ts';
it('perf', async () => {
  const world = await World.start({ n: 6, f: 1, k: 4 });
  const w = clientOf(world);
  const plain = await putRecord(world, w, recordOf(world, 'p'));
  const slot = await putRecord(world, w, recordOf(world, 's', { v: 2, mode: 'SERIALISED' }));
  for (const size of [1000, 100_000, 1_000_000, 8_000_000]) {
    const n = size > 500_000 ? 60 : 200;
    for (const kind of ['plain', 'slot', 'plain', 'slot']) {
      const t = process.cpuUsage();
      const t0 = performance.now();
      for (let i = 0; i < n; i += 8) {
        await Promise.all(Array.from({ length: 8 }, async (_, j) => {
          const key = `${kind} ${size} ${i + j}`;
          const bytes = contentOf(key, size);
          if (kind === 'plain') committed(await put(w, plain, key, bytes, { predecessor: null }));
          else committedSlot(await putSlot(w, slot, key, bytes, { predecessor: null }));
        }));
      }
      const u = process.cpuUsage(t);
      console.log(size, kind, ((u.user + u.system) / 1000 / n).toFixed(2), 'ms cpu/put', ((performance.now() - t0) / n).toFixed(2), 'ms wall');
    }
  }
  await w.client.close();
  await world.stop();
}, 200000);
