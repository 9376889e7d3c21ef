import { keyValueStoreContract } from '../platform/key-value-store.contract.ts';
import { MemoryStore } from './memory-store.ts';

keyValueStoreContract('memory', () => Promise.resolve(new MemoryStore()));
