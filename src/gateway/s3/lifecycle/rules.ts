/** The lifecycle rules of a bucket as values, and to which objects a rule applies. */
import type { Tags } from '../port/objects.ts';

/** How the filter was written, so that GET gives it back in the same shape. */
export type FilterForm = 'none' | 'legacy-prefix' | 'single' | 'and';

/** All that is named must hold. */
export interface LifecycleFilter {
  readonly form: FilterForm;
  readonly prefix: string | undefined;
  readonly tags: Tags;
  readonly sizeGreaterThan: number | undefined;
  readonly sizeLessThan: number | undefined;
}

export type Expiration =
  | { readonly kind: 'days'; readonly days: number }
  | { readonly kind: 'date'; readonly atMs: number }
  /** Delete markers under which nothing is left. */
  | { readonly kind: 'lone-markers' };

export interface NoncurrentExpiration {
  readonly days: number;
  /** So many newer noncurrent versions stay in any case. */
  readonly newerKept: number | undefined;
}

export interface LifecycleRule {
  readonly id: string;
  readonly isEnabled: boolean;
  readonly filter: LifecycleFilter;
  readonly expiration: Expiration | undefined;
  readonly noncurrent: NoncurrentExpiration | undefined;
  readonly abortUploadsAfterDays: number | undefined;
}

/** What a filter asks about. */
export interface FilterSubject {
  readonly key: string;
  readonly size: number;
  readonly tags: Tags;
}

export function coversKey({ prefix }: LifecycleFilter, key: string): boolean {
  return prefix === undefined || key.startsWith(prefix);
}

export function covers(filter: LifecycleFilter, { key, size, tags }: FilterSubject): boolean {
  return (
    coversKey(filter, key) &&
    filter.tags.every(([name, value]) => tags.some((tag) => tag[0] === name && tag[1] === value)) &&
    (filter.sizeGreaterThan === undefined || size > filter.sizeGreaterThan) &&
    (filter.sizeLessThan === undefined || size < filter.sizeLessThan)
  );
}

/**
 * Where a filter asks about what a delete marker does not have, the rule is not about markers.
 */
export function coversMarker(filter: LifecycleFilter, key: string): boolean {
  const asksMore =
    filter.tags.length > 0 || filter.sizeGreaterThan !== undefined || filter.sizeLessThan !== undefined;
  return !asksMore && coversKey(filter, key);
}
