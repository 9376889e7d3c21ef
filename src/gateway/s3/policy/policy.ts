/**
 * A policy, parsed: statements that allow or deny actions on resources to principals under conditions. One
 * form serves bucket policies and the policies of access keys; the latter name no principals, since they
 * speak of their bearer alone.
 */
import type { Template } from './variables.ts';
import type { Pattern } from './wildcard.ts';

export interface Policy {
  readonly statements: readonly Statement[];
}

export interface Statement {
  readonly effect: 'Allow' | 'Deny';
  /** Undefined in the policy of an access key: whoever bears it. */
  readonly principals: Selection<PrincipalPattern> | undefined;
  /** Such as `s3:get*`, in lower case; compared without regard to case. */
  readonly actions: Selection<Pattern>;
  /** Such as `arn:aws:s3:::bucket/prefix*`. */
  readonly resources: Selection<Template>;
  /** All of them must hold. */
  readonly conditions: readonly Condition[];
}

/** What is named, or all but what is named. */
export interface Selection<Pattern> {
  readonly isNot: boolean;
  readonly patterns: readonly Pattern[];
}

export type PrincipalPattern =
  /** Everybody, anonymous requests too. */
  | { readonly kind: 'anyone' }
  | { readonly kind: 'account'; readonly id: string };

export interface Condition {
  /** `all`, `any`: of the values of a key that has several. */
  readonly quantifier: 'all' | 'any' | undefined;
  /** The operator without quantifier and IfExists. */
  readonly operator: string;
  readonly ifExists: boolean;
  /** In lower case, but for what follows a slash. */
  readonly key: string;
  readonly values: readonly string[];
  /** The values again, where the operator lets variables stand in them; else none. */
  readonly templates: readonly Template[];
}
