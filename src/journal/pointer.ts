/** Where a record lies in a journal: the place of its payload. Segments count from 1; offset and length are bytes. */
export interface Pointer {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}
