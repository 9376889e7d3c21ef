/**
 * Intel's ISA-L beside our codec: a small C program, compiled on the spot against the installed library
 * (Debian package libisal-dev), that measures encode, decode and the P+Q generator for one geometry. Where
 * compiler or library are missing there is nothing to compare with, and the reason is said instead.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** GB/s of user data, processor time, medians; `pq` is null unless there are two parity cells. */
export interface IsalFigures {
  readonly encode: number;
  readonly pq: number | null;
  readonly decodeAll: number;
  readonly decodeOne: number;
}

export type Isal =
  | { readonly available: false; readonly reason: string }
  | {
      readonly available: true;
      measure(geometry: { k: number; m: number; cellBytes: number }, rounds: number): IsalFigures;
      remove(): void;
    };

const SOURCE = String.raw`
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>
enum { CELLS_MAX = 64, ROUNDS_MAX = 99, CASES = 4 };
typedef unsigned char u8;
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}
/* Tables that rebuild the first e data cells from the k cells after them. */
static void decode_tables(int k, int e, u8 *generator, u8 *tables) {
  u8 rows[CELLS_MAX * CELLS_MAX], inverse[CELLS_MAX * CELLS_MAX];
  memcpy(rows, generator + e * k, (size_t)k * k);
  if (gf_invert_matrix(rows, inverse, k)) exit(2);
  ec_init_tables(k, e, inverse, tables);
}
int main(int argc, char **argv) {
  if (argc != 5) return 64;
  int k = atoi(argv[1]), m = atoi(argv[2]), rounds = atoi(argv[4]), n = k + m, e = m < k ? m : k;
  size_t len = strtoul(argv[3], 0, 10);
  if (k < 1 || m < 1 || n > CELLS_MAX || rounds < 1 || rounds > ROUNDS_MAX) return 64;
  u8 *cell[CELLS_MAX], *out[CELLS_MAX], generator[CELLS_MAX * CELLS_MAX];
  static u8 encode[32 * CELLS_MAX * CELLS_MAX], all[32 * CELLS_MAX * CELLS_MAX], one[32 * CELLS_MAX];
  void *raid[CELLS_MAX];
  for (int i = 0; i < n; i++) {
    cell[i] = aligned_alloc(64, len);
    out[i] = aligned_alloc(64, len);
    memset(out[i], 0, len);
    for (size_t b = 0; b < len; b++) cell[i][b] = (u8)(rand() >> 3);
  }
  gf_gen_cauchy1_matrix(generator, n, k);
  ec_init_tables(k, m, generator + k * k, encode);
  decode_tables(k, e, generator, all);
  decode_tables(k, 1, generator, one);
  for (int i = 0; i < k; i++) raid[i] = cell[i];
  raid[k] = out[0];
  raid[k + 1] = out[1];
  ec_encode_data((int)len, k, m, encode, cell, cell + k);
  ec_encode_data((int)len, k, e, all, cell + e, out);
  for (int i = 0; i < e; i++) if (memcmp(out[i], cell[i], len)) return 3;
  static double value[CASES][ROUNDS_MAX];
  for (int round = -2; round < rounds; round++) {
    for (int c = 0; c < CASES; c++) {
      if (c == 1 && m != 2) continue;
      double start = now(), spent;
      int count = 0;
      do {
        if (c == 0) ec_encode_data((int)len, k, m, encode, cell, cell + k);
        else if (c == 1) pq_gen(k + 2, (int)len, raid);
        else if (c == 2) ec_encode_data((int)len, k, e, all, cell + e, out);
        else ec_encode_data((int)len, k, 1, one, cell + 1, out);
        count++;
        spent = now() - start;
      } while (spent < 0.02);
      if (round >= 0) value[c][round] = (double)count * k * len / spent / 1e9;
    }
  }
  for (int c = 0; c < CASES; c++) {
    qsort(value[c], (size_t)rounds, sizeof(double), ascending);
    printf("%.4f ", value[c][rounds / 2]);
  }
  printf("\n");
  return 0;
}
`;

/** Compiles the comparison; `remove` deletes it from the disk again. */
export function buildIsal(): Isal {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-isal-'));
  const program = join(folder, 'isal');
  try {
    writeFileSync(join(folder, 'isal.c'), SOURCE);
    execFileSync('gcc', ['-O2', '-o', program, join(folder, 'isal.c'), '-lisal'], { stdio: 'pipe' });
  } catch (error) {
    rmSync(folder, { recursive: true });
    const message = error instanceof Error ? error.message : String(error);
    const isLibrary = message.includes('isa-l') || message.includes('-lisal');
    return { available: false, reason: isLibrary ? 'libisal-dev is not installed' : 'gcc is not installed' };
  }
  return {
    available: true,
    measure({ k, m, cellBytes }, rounds) {
      const args = [k, m, cellBytes, rounds].map(String);
      const figures = execFileSync(program, args, { encoding: 'utf8' }).trim().split(' ').map(Number);
      const [encode = NaN, pq = NaN, decodeAll = NaN, decodeOne = NaN] = figures;
      return { encode, pq: m === 2 ? pq : null, decodeAll, decodeOne };
    },
    remove() {
      rmSync(folder, { recursive: true });
    },
  };
}
