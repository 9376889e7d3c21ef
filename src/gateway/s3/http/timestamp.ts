/** Times as clients write them in headers and documents. */
import type { S3Error } from './errors.ts';

/** Milliseconds of an HTTP date or an ISO 8601 time; clients send either. Throws `refuse()`. */
export function timestampMs(text: string, refuse: () => S3Error): number {
  const isTime =
    /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text) ||
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/.test(text);
  const ms = isTime ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw refuse();
  return ms;
}
