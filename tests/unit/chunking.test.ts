/**
 * Splits a database into chunks and runs: no block twice, none missing, and a history of bounded length.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutTables, groupRuns, type SizedTable } from '../../postgres/snapshot/chunking.ts';
import type { Chunk } from '../../postgres/store/chunk.ts';

const MEBIBYTE = 1024 * 1024;
const CHUNK_BYTES = 16 * MEBIBYTE;
const PAGE_BYTES = 8192;

const table = (id: number, pages: number, bytes = pages * PAGE_BYTES): SizedTable => ({
  id,
  pages,
  bytes,
  splittable: true,
});

const runsOf = (chunks: readonly Chunk[], parallelism = 4) =>
  groupRuns(
    chunks.map(({ relations }, i) => ({ id: i + 1, relations })),
    { prefix: 'g1', parallelism, nameOf: (id) => `public.t${id}` },
  );

test('every block of every table is in exactly one chunk, and the last chunk of a table has no end', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ pages: fc.nat(20_000), toast: fc.nat(50) }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 64 }),
      (sizes, megabytes) => {
        const tables = sizes.map(({ pages, toast }, id) =>
          table(id, pages, pages === 0 ? 0 : pages * PAGE_BYTES + toast * MEBIBYTE),
        );
        const chunks = cutTables(tables, megabytes * MEBIBYTE);
        for (const { id, pages } of tables) {
          const own = chunks.filter(({ relations }) => relations.includes(id));
          let next = 0;
          for (const [i, { firstBlock, endBlock }] of own.entries()) {
            const last = i === own.length - 1;
            if (own.length === 1) expect([firstBlock, endBlock]).toEqual([null, null]);
            else expect(firstBlock).toBe(next);
            expect(endBlock === null).toBe(last);
            if (!last) expect(endBlock).toBeGreaterThan(next);
            next = endBlock ?? next;
          }
          expect(own.length).toBeGreaterThan(0);
          expect(next).toBeLessThan(Math.max(1, pages));
        }
      },
    ),
  );
});

test('chunks follow the bytes: a table of few pages with large TOAST is split, too', () => {
  expect(cutTables([table(1, 100, 160 * MEBIBYTE)], CHUNK_BYTES)).toHaveLength(10);
  expect(cutTables([table(1, 3, 160 * MEBIBYTE)], CHUNK_BYTES)).toHaveLength(3);
  expect(cutTables([{ ...table(1, 100_000), splittable: false }], CHUNK_BYTES)).toHaveLength(1);
});

test('small tables share chunks, large ones do not', () => {
  const tables = Array.from({ length: 5000 }, (_, id) => table(id, id % 7));
  const chunks = cutTables([...tables, table(9999, 4096)], CHUNK_BYTES);
  expect(chunks.filter(({ relations }) => relations.includes(9999))).toHaveLength(2);
  const bundles = chunks.filter(({ relations }) => relations.length > 1);
  expect(bundles.length).toBeLessThan(30);
  expect(Math.max(...bundles.map(({ relations }) => relations.length))).toBeLessThanOrEqual(200);
  expect(Math.max(...bundles.map(({ pages }) => pages * PAGE_BYTES))).toBeLessThanOrEqual(
    CHUNK_BYTES,
  );
});

test('100,000 chunks are a few hundred runs', () => {
  const many = cutTables([table(1, 100_000 * 2048)], CHUNK_BYTES);
  expect(many).toHaveLength(100_000);
  expect(runsOf(many).length).toBeLessThanOrEqual(200);
  const tables = Array.from({ length: 20_000 }, (_, id) => table(id, 2048 * 5));
  expect(runsOf(cutTables(tables, CHUNK_BYTES), 32).length).toBeLessThanOrEqual(400);
});

test('a small database still gives several runs', () => {
  const chunks = cutTables([table(1, 2048 * 12), table(2, 3), table(3, 3)], CHUNK_BYTES);
  const runs = runsOf(chunks);
  expect(runs.map(({ label }) => label)).toEqual([
    ...Array.from({ length: 8 }, (_, i) => `public.t1 ${i + 1}/8`),
    '2 small tables',
  ]);
  expect(new Set(runs.map(({ id }) => id)).size).toBe(9);
});

test.each([1, 3, 4, 7])(
  'one large table is split into equally many runs for each of %d sessions',
  (parallelism) => {
    for (let chunks = 2 * parallelism; chunks <= 16 * parallelism; chunks += 1) {
      const runs = runsOf(cutTables([table(1, 2048 * chunks)], CHUNK_BYTES), parallelism);
      expect(runs, `${chunks} chunks`).toHaveLength(2 * parallelism);
    }
  },
);

test('runs cover all chunks in order, none twice', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(60_000), { maxLength: 60 }),
      fc.integer({ min: 1, max: 32 }),
      (sizes, parallelism) => {
        const chunks = cutTables(
          sizes.map((pages, id) => table(id, pages)),
          CHUNK_BYTES,
        );
        const runs = runsOf(chunks, parallelism);
        let next = 1;
        for (const { firstChunk, lastChunk } of runs) {
          expect(firstChunk).toBe(next);
          expect(lastChunk).toBeGreaterThanOrEqual(firstChunk);
          next = lastChunk + 1;
        }
        expect(next).toBe(chunks.length + 1);
        expect(runs.length).toBeLessThanOrEqual(400);
      },
    ),
  );
});

test('without remaining tables there is no run', () => {
  expect(runsOf([])).toEqual([]);
});

test('the plan of ten terabytes, and that of a hundred thousand tables, are far smaller than a Temporal payload may be', () => {
  const longest = 'n'.repeat(63);
  const planOf = (chunks: readonly Chunk[], parallelism: number) =>
    groupRuns(
      chunks.map(({ relations }, i) => ({ id: i + 1, relations })),
      { prefix: 'g1', parallelism, nameOf: (id) => `${longest}.${longest}${id}` },
    );
  const terabytes = 10 * 1024 * 1024 * MEBIBYTE;
  const big = cutTables(
    Array.from({ length: 1_000 }, (_, i) => table(i, terabytes / 1_000 / PAGE_BYTES)),
    CHUNK_BYTES,
  );
  const small = cutTables(
    Array.from({ length: 100_000 }, (_, i) => table(i, i % 100 === 0 ? 5_000 : 2)),
    CHUNK_BYTES,
    25,
  );
  for (const chunks of [big, small]) {
    for (const parallelism of [1, 32]) {
      const runs = planOf(chunks, parallelism);
      expect(runs.length).toBeLessThanOrEqual(600);
      expect(JSON.stringify(runs).length).toBeLessThan(200_000);
    }
  }
});
