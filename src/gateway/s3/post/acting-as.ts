/**
 * A call on behalf of who signed its form: a POST carries its signature, and what headers would say, in the
 * body, so that it comes here anonymous and is decided when the form was read.
 */
import type { Call } from '../call.ts';
import type { Headers } from '../http/headers.ts';
import type { AccessOptions } from '../access/access.ts';

/**
 * `headers`: those of the request with what the form says in their place, for the conditions of policies.
 * Throws SlowDown when the key that signed has used up its rate.
 */
export function actingAs(
  call: Call,
  who: Pick<AccessOptions, 'principal' | 'credential'>,
  headers: Headers,
): Call {
  const { principal, credential } = who;
  if (principal.kind === 'account' && credential !== undefined) call.meter.admit(principal.accessKeyId, credential, 0);
  const access = call.access.actingAs(who, headers);
  return { ...call, principal, headers, access, store: call.storeFor(access) };
}
