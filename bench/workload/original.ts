/** Databases to copy. */
export interface Original {
  readonly name: string;
  readonly tables: readonly string[];
  readonly sql: string;
}

const BIG_ROWS = 4_000_000;
const WIDE_ROWS = 60_000;
const SMALL_TABLES = 1_000;

/** @param scale fraction of the full size, above 0. */
export function originals(scale: number): readonly Original[] {
  const count = (full: number, least: number): number => Math.max(least, Math.round(full * scale));
  const small = count(SMALL_TABLES, 20);
  return [
    {
      // About 500 MB of table pages, and three indexes.
      name: 'one table',
      tables: ['orders'],
      sql: `
        create table orders (id bigint primary key, customer int not null, total numeric(12, 2), at timestamptz, state text, note text);
        insert into orders
          select g, g % 100000, (g % 10000) / 7.0, timestamptz '2026-01-01' + g * interval '1 second', 'shipped', 'note of order ' || md5(g::text)
          from generate_series(1, ${count(BIG_ROWS, 20_000)}) g;
        create index on orders (customer);
        create index on orders (at);`,
    },
    {
      name: 'wide rows',
      tables: ['document'],
      sql: `
        create table document (id bigint primary key, body text, meta jsonb);
        insert into document
          select g, v.body, jsonb_build_object('k', g, 'n', md5(g::text))
          from generate_series(1, ${count(WIDE_ROWS, 500)}) g,
            lateral (select string_agg(md5((g * 1000 + k)::text), '') as body from generate_series(1, 250) k) v;`,
    },
    {
      name: `${small} small tables`,
      tables: Array.from({ length: small }, (_, i) => `s${i}`),
      sql: Array.from(
        { length: small },
        (_, i) =>
          `create table s${i} (id serial primary key, v bigint, w text); insert into s${i} (v, w) select g, 'row' from generate_series(1, 100) g; create index on s${i} (v);`,
      ).join('\n'),
    },
  ];
}
