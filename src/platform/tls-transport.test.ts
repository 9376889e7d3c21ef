/** The TLS transport keeps the contract of the Transport port. */
import { makeTlsWorld } from './tls-world.contract.ts';
import { transportContract } from './transport.contract.ts';

transportContract('TLS on loopback', makeTlsWorld);
