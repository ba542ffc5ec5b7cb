/**
 * Which row a change applies to, and numbers that only the server assigns: identity columns that an UPDATE sets to their
 * default, and texts that a collation treats as equal.
 */
import { expect, test } from 'vitest';
import { Feed } from './apply-feed.ts';

const LARGE = /* sql */ `(select string_agg(md5(i::text || n), '') from generate_series(1, 200) n)`;

/** Runs the statements on the source, applies them as one batch, and reads the table on both sides. */
async function both(
  schema: string,
  changes: readonly string[],
): Promise<{ source: unknown[]; target: unknown[] }> {
  await using feed = await Feed.start(schema);
  for (const sql of changes) await feed.source.query(sql);
  await feed.apply();
  const read = /* sql */ `select md5(t::text), left(t::text, 60) from public.item t order by t::text collate "C"`;
  const { rows: source } = await feed.source.query<Record<string, unknown>>(read);
  const { rows: target } = await feed.target.query<Record<string, unknown>>(read);
  return { source, target };
}

const KEY = /* sql */ `
  create table public.item (id bigint generated always as identity primary key, v text, body text);
  alter table public.item alter column body set storage external;
  insert into public.item (v, body) select 'v', ${LARGE} from generate_series(1, 300) i;`;

const NOT_KEY = /* sql */ `
  create table public.item (id int primary key, body text, n smallint generated always as identity unique, v text);
  alter table public.item alter column body set storage external;
  insert into public.item (id, v, body) select i, 'v', ${LARGE} from generate_series(1, 300) i;`;

const FULL = /* sql */ `
  create table public.item (n int generated always as identity, v text, body text);
  alter table public.item replica identity full;
  insert into public.item (v, body) select 'v', ${LARGE} from generate_series(1, 100) i;`;

test.each([
  ['its key', KEY, 'id'],
  ['next to its key', NOT_KEY, 'n'],
  ['in a table without a key', FULL, 'n'],
])('a row renumbered by "set … = default" gets the source’s number: %s', async (_, schema, n) => {
  const few = [
    /* sql */ `update public.item set ${n} = default, v = 'again' where ${n} between 10 and 19`,
    /* sql */ `update public.item set v = 'as it was' where ${n} between 15 and 25`,
  ];
  const many = [...few, /* sql */ `update public.item set ${n} = default where ${n} > 30`];
  for (const changes of [few, many]) {
    const { source, target } = await both(schema, changes);
    expect(target).toEqual(source);
  }
});

test('of rows whose texts the collation treats as equal, the right one is changed', async () => {
  const { source, target } = await both(
    /* sql */ `
    create collation public.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table public.item (v text collate public.blind, n int);
    create index on public.item (v);
    alter table public.item replica identity full;
    insert into public.item select v, 0 from generate_series(1, 40), (values ('word'), ('WORD'), ('Word')) w (v);`,
    [
      /* sql */ `delete from public.item where ctid in (select ctid from public.item where v collate "C" = 'WORD' limit 30)`,
      /* sql */ `update public.item set n = 1 where v collate "C" = 'Word'`,
    ],
  );
  expect(target).toEqual(source);
});

test.each([
  [
    'the application has its own cast to text',
    `create type public.mood as enum ('a', 'b');
     create function public.shown(public.mood) returns text language sql immutable as $$ select 'mood' $$;
     create cast (public.mood as text) with function public.shown(public.mood) as assignment;
     create table public.item (v public.mood, n int);
     insert into public.item values ('a', 1), ('b', 1);`,
    [`update public.item set n = 2 where v = 'b'`],
  ],
  [
    'the cast to text removes trailing blanks',
    `create table public.item (v bpchar, n int);
     insert into public.item values ('a', 1), ('a ', 1), ('a  ', 1);`,
    [
      `update public.item set n = 2 where octet_length(v) = 2`,
      `delete from public.item where octet_length(v) = 3`,
    ],
  ],
  [
    'a composite value of nulls is not null',
    `create type public.pair as (a int, b int);
     create table public.item (v public.pair, n int);
     insert into public.item values (row(null, null), 1), (null, 1);`,
    [
      `update public.item set n = 2 where v is not distinct from null`,
      `update public.item set n = 3 where v is distinct from null`,
    ],
  ],
  [
    'an empty text is not null',
    `create table public.item (v text, n int);
     insert into public.item values (null, 1), ('', 1);`,
    [`update public.item set n = 2 where v is null`, `update public.item set n = 3 where v = ''`],
  ],
])('of equal rows without a key the right one is changed where %s', async (_, ddl, changes) => {
  const { source, target } = await both(
    `${ddl} alter table public.item replica identity full;`,
    changes,
  );
  expect(target).toEqual(source);
});
