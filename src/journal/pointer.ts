/**
 * Where a record lies in a journal: the place of its payload. Segments count from 1; offset and length are
 * bytes. A pointer is good until its owner releases the record.
 */
export interface Pointer {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}
