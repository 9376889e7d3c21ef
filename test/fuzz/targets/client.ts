/**
 * Clients, and the other storage nodes, against a node whose answers are mutated: all that it says to anybody goes
 * through the mutators. It is the one of four that may be faulty, so every operation must succeed as if it were
 * not there, and nobody else may be accused. The input names the random stream of the mutations.
 */
import { hex } from '../../../src/base/bytes.ts';
import type { Frame } from '../../../src/base/ports.ts';
import type { LogFollower } from '../../../src/client/follow.ts';
import type { BucketAuthority } from '../../../src/client/write.ts';
import { FaultyDisk } from '../../../src/sim/faulty-disk.ts';
import { SeededRandom } from '../../../src/sim/seeded-random.ts';
import { clientOf, committed, contentOf, getBytes, keyIdOf, put, putRecord, recordOf, sameBytes } from '../../world/client-world.ts';
import type { TestClient } from '../../world/client-world.ts';
import { World } from '../../world/world.ts';
import { holds } from '../decoder.ts';
import type { Outcome, Subject, Target } from '../engine.ts';
import { mutate } from '../mutate.ts';
import { id } from '../valid.ts';

const LIAR = 3;
const SLOTS = [0, 1, 2, 3] as const;
/** INLINE, one stripe, several stripes. */
const SIZES = [100, 5_000, 900_000] as const;

function mutated(frame: Frame, random: SeededRandom): Frame {
  const body = random.chance(0.8) ? mutate({ form: 'cbor' }, [frame.body], random) : frame.body;
  const payload = random.chance(0.3) ? mutate({ form: 'bytes' }, [frame.payload], random) : frame.payload;
  return { body, payload };
}

class ClientSubject implements Subject {
  readonly #world: World;
  readonly #client: TestClient;
  readonly #bucket: BucketAuthority;
  readonly #follower: LogFollower;
  #writes = 0;

  constructor(world: World, client: TestClient, bucket: BucketAuthority) {
    this.#world = world;
    this.#client = client;
    this.#bucket = bucket;
    this.#follower = client.client.follow(() => undefined);
  }

  static async open(): Promise<ClientSubject> {
    const disks = new Map(SLOTS.map((slot) => [slot, new FaultyDisk()]));
    const world = await World.start({ n: 4, writers: 2, disks });
    const client = clientOf(world);
    return new ClientSubject(world, client, await putRecord(world, client, recordOf(world, 'fuzz')));
  }

  async attempt(input: Uint8Array): Promise<Outcome> {
    const random = new SeededRandom(`answers ${hex(input)}`);
    this.#world.interceptors.set(LIAR, async (honest, frame) => {
      const answer = await honest(frame);
      return random.chance(0.9) ? mutated(answer, random) : answer;
    });
    this.#writes += 1;
    const size = SIZES[this.#writes % 10 === 0 ? 2 : this.#writes % 2] ?? 100;
    const key = `key ${this.#writes % 7}`;
    const bytes = contentOf(`content ${this.#writes}`, size);
    committed(await put(this.#client, this.#bucket, key, bytes));
    holds(sameBytes(await getBytes(this.#client, key), bytes), 'what was written is read');
    const head = await this.#client.client.head(keyIdOf(key));
    holds(head !== null, 'the version is found');
    const [certified] = await this.#client.client.certificates([{ keyId: keyIdOf(key), stamp: head?.signed.manifest.stamp ?? this.#bucket.stamp, slots: [LIAR, 0] }]);
    holds(certified !== null && certified !== undefined, 'its certificate is found');
    const followed = await Promise.all(SLOTS.map((slot) => this.#follower.fresh(slot)));
    holds(followed.every(({ ok }, slot) => ok || slot === LIAR), 'the logs of the correct nodes are followed');
    const accused = this.#client.evidence.filter(({ finding: { accused } }) => accused.kind !== 'node' || accused.slot !== LIAR);
    holds(accused.length === 0, `a correct node is accused: ${JSON.stringify(accused[0]?.finding)}`);
    return 'accepted';
  }

  check(): Promise<void> {
    const { lost, telemetry, nodes } = this.#world;
    const own = telemetry.events.filter(({ name, fields }) => name === 'a request failed' && (fields as { slot?: number }).slot !== LIAR);
    holds(own.length === 0, `a correct node failed: ${JSON.stringify(own[0])}`);
    holds([...lost.keys()].every((slot) => slot === LIAR), `a correct node stopped: ${String([...lost.values()][0])}`);
    for (const [slot, node] of nodes) holds(slot === LIAR || node.status().state === 'SERVING', `node ${slot} serves`);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.#world.interceptors.clear();
    await this.#client.client.close();
    await this.#world.stop();
  }
}

export const clientTargets: readonly Target[] = [
  { name: 'client-answers', covers: [], format: { form: 'bytes' }, seeds: () => ['one', 'two', 'three'].map((name) => id(name).subarray(0, 8)), open: () => ClientSubject.open(), inputs: 25, allocates: 256 * 1024 * 1024, takesMs: 10_000 },
];

