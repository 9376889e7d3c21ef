import { objectStoreContract } from '../../src/gateway/s3/port/object-store.contract.ts';
import { startGateway } from '../world/gateway-world.ts';
import { World } from '../world/world.ts';

objectStoreContract({
  name: 'the store of a gateway',
  open: async () => {
    const world = await World.start({ n: 4, f: 1 });
    const { gateway, store } = await startGateway(world);
    const close = async (): Promise<void> => {
      await gateway.stop();
      await world.stop();
    };
    return { store, close };
  },
});
