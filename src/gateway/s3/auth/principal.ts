/**
 * Who asks: an account, known by the access key that signed the request, or nobody in particular. What a
 * principal may do is decided in access/; this file says only who there is.
 */
import type { Policy } from '../policy/policy.ts';

/** Owner of buckets and objects. */
export interface Account {
  /** Canonical id: 64 lower-case hexadecimal digits. */
  readonly id: string;
  readonly displayName: string;
  /** By which others may grant to it. */
  readonly email?: string | undefined;
}

export type Principal =
  | { readonly kind: 'account'; readonly account: Account; readonly accessKeyId: string }
  | { readonly kind: 'anonymous' };

export const ANONYMOUS: Principal = { kind: 'anonymous' };

/** Canonical id that stands for nobody: the owner of what an anonymous request wrote. */
export const ANONYMOUS_ID: string = '0'.repeat(64);

/** What one access key may use of the gateway; undefined: no limit of its own. */
export interface KeyLimits {
  readonly requestsPerSecond: number | undefined;
  readonly bytesPerSecond: number | undefined;
}

/** What is known of an access key. */
export interface Credential {
  readonly secretAccessKey: string;
  readonly account: Account;
  /** Narrows what the account may do; undefined: all of it. */
  readonly policy?: Policy | undefined;
  readonly limits?: KeyLimits | undefined;
}

/** The credential of an access key in force, or undefined when there is none. */
export type CredentialLookup = (accessKeyId: string) => Promise<Credential | undefined>;

/** The accounts that there are. */
export interface AccountDirectory {
  byId(id: string): Promise<Account | undefined>;
  /** Compared without regard to case. */
  byEmail(email: string): Promise<Account | undefined>;
}

/** Canonical id of who asks, for the owner of what a request makes. */
export function principalId(principal: Principal): string {
  return principal.kind === 'account' ? principal.account.id : ANONYMOUS_ID;
}
