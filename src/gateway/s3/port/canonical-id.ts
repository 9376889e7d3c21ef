/** Canonical ids: the names of accounts in what the store keeps, in policies and in ACLs. */

/** 64 lower-case hexadecimal digits. */
export function isCanonicalId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
