import { MemoryStore } from './memory-store.contract.ts';
import { objectStoreContract } from './object-store.contract.ts';

objectStoreContract({
  name: 'the store in memory',
  open: () => Promise.resolve({ store: new MemoryStore(() => Date.now()), close: () => Promise.resolve() }),
});
