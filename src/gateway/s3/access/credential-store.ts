/** Where access keys and accounts are looked up. A file of the gateway's folder today (src/cli/); a register
 * that all gateways share can take its place. */
import type { AccountDirectory, Account, CredentialLookup } from '../auth/principal.ts';

export interface CredentialStore extends AccountDirectory {
  /** Only keys in force: neither revoked nor expired. What changes is seen without a restart. */
  readonly lookup: CredentialLookup;
}

/** The one account of a gateway whose credentials are given by hand. */
export function directoryOf(...accounts: readonly Account[]): AccountDirectory {
  const find = (matches: (account: Account) => boolean): Promise<Account | undefined> =>
    Promise.resolve(accounts.find(matches));
  return {
    byId: (id) => find((account) => account.id === id),
    byEmail: (email) => find((account) => account.email?.toLowerCase() === email.toLowerCase()),
  };
}
