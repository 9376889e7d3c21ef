/**
 * Controllers in a test cluster: with the identity that the configuration names, authority signed by its first
 * gateway, a store in memory that outlives a controller, and times so short that a test sees all of it.
 */
import { hex } from '../../src/base/bytes.ts';
import { Controller } from '../../src/control/controller.ts';
import type { ControllerOptions, ControllerTuning } from '../../src/control/controller.ts';
import type { ControllerStatus } from '../../src/control/status.ts';
import { CELL_BYTES_MAX } from '../../src/base/limits.ts';
import { wasmCodec } from '../../src/erasure/wasm.ts';
import { WorkspacePool } from '../../src/erasure/workspace.ts';
import type { Proof } from '../../src/evidence/finding.ts';
import { encodeRepairAuthority } from '../../src/protocol/repair-authority.ts';
import type { SignedBody } from '../../src/protocol/slot.ts';
import { prove } from '../../src/sim/adversaries/stage.ts';
import { MemoryStore } from '../../src/sim/memory-store.ts';
import type { World } from './world.ts';

export const QUICK: Partial<ControllerTuning> = {
  followMs: 50,
  graceMs: 200,
  // Everything within two seconds, which begin again and again.
  auditGoal: { lossShare: 0.01, missProbability: 1e-6, periodMs: 2_000 },
  workers: 2,
};

/** What a gateway of the world signs for its controller. */
export function authorityOf(world: World, lastsMs: number = 3600_000, writer: number = 0): SignedBody {
  const signer = world.writers[writer];
  if (signer === undefined) throw new Error(`no writer ${writer}`);
  const { gatewayId } = world.controller;
  const body = encodeRepairAuthority({ v: 1, controllerId: gatewayId, epoch: world.cluster.epoch, notAfterMs: world.clock.nowMs() + lastsMs });
  return { body, proof: prove(world.cluster, signer.signingKey, 'repair-authority', body) };
}

export interface TestController {
  readonly controller: Controller;
  readonly evidence: Proof[];
}

export async function controllerOf(world: World, store: MemoryStore = new MemoryStore(), options: Partial<ControllerOptions> = {}): Promise<TestController> {
  const { controller: identity, cluster, clock, random, telemetry } = world;
  const evidence: Proof[] = [];
  const controller = await Controller.start({
    cluster,
    transport: world.network.transport(identity.name, hex(identity.tlsKey.publicKey)),
    clock,
    random,
    telemetry,
    workspaces: new WorkspacePool(wasmCodec, { workspaceCount: 2, cellCountMax: cluster.geometry.n, cellBytesMax: CELL_BYTES_MAX }),
    controllerId: identity.gatewayId,
    authority: () => Promise.resolve(authorityOf(world)),
    store,
    onEvidence: (proof) => evidence.push(proof),
    ...options,
    tuning: { ...QUICK, ...options.tuning },
  });
  return { controller, evidence };
}

/** Waits until the status fits; fails with the last one when it never does. */
export async function untilStatus(world: World, controller: Controller, fits: (status: ControllerStatus) => boolean, timeoutMs: number = 60_000): Promise<ControllerStatus> {
  const endMs = world.clock.monotonicMs() + timeoutMs;
  for (;;) {
    const status = controller.status();
    if (fits(status)) return status;
    if (world.clock.monotonicMs() > endMs) throw new Error(`never came to that: ${JSON.stringify(status, null, 1)}`);
    await world.clock.sleep(20);
  }
}
