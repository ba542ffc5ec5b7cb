/**
 * Changes as wal2json sends them, applied as one batch: the target ends equal to the source. Every batch is large enough for
 * sets; a test whose set must be refused first says so.
 */
import { expect, test } from 'vitest';
import { expectEqual } from '../../support/equality.ts';
import { Feed } from './apply-feed.ts';

/** Stored out of line and not compressible. */
const LARGE = (seed: string): string =>
  `(select string_agg(md5(${seed}::text || n), '') from generate_series(1, 200) n)`;

const ITEMS = /* sql */ `
  create table public.item (id int primary key, code text unique, body text, n int);
  alter table public.item alter column body set storage external;
  insert into public.item select n, 'code ' || n, ${LARGE('1')}, 0 from generate_series(1, 300) n;`;

async function settled(schema: string, changes: string[]): Promise<{ refusals: number }> {
  await using feed = await Feed.start(schema);
  for (const sql of changes) await feed.source.query(sql);
  const applied = await feed.apply();
  expect(applied.changes).toBeGreaterThan(0);
  await expectEqual(feed.source, feed.target);
  return applied;
}

test('inserts, updates and deletes of many rows arrive as sets', async () => {
  const { refusals } = await settled(ITEMS, [
    /* sql */ `update public.item set n = n + 1 where id <= 200`,
    /* sql */ `delete from public.item where id % 3 = 0`,
    /* sql */ `insert into public.item select n, 'code ' || n, null, null from generate_series(1001, 1200) n`,
    /* sql */ `update public.item set body = 'short', n = null where id > 1100`,
  ]);
  expect(refusals).toBe(0);
});

test('an unchanged TOASTed value stays, also when the key changes', async () => {
  const { refusals } = await settled(ITEMS, [
    /* sql */ `update public.item set id = id + 1000, code = code || '!'`,
    /* sql */ `update public.item set n = 7 where id > 1100`,
  ]);
  expect(refusals).toBe(0);
});

test('rows that swap a unique value are refused as a set and replayed', async () => {
  const { refusals } = await settled(ITEMS, [
    /* sql */ `
      begin;
      update public.item set n = 1;
      update public.item set code = 'free' where id = 1;
      update public.item set code = 'code 1' where id = 2;
      update public.item set code = 'code 2' where id = 1;
      commit;`,
  ]);
  expect(refusals).toBeGreaterThan(0);
});

test('a chain of key changes, each to the key that the previous one freed, arrives', async () => {
  await settled(ITEMS, [
    /* sql */ `
      do $$ begin
        for k in reverse 300..1 loop update public.item set id = k + 1 where id = k; end loop;
      end $$`,
  ]);
});

test('one row passes through several keys, and another row takes its first key', async () => {
  const { refusals } = await settled(ITEMS, [
    /* sql */ `
      begin;
      update public.item set n = 5 where id > 100;
      update public.item set id = 5001 where id = 1;
      update public.item set id = 5002 where id = 5001;
      insert into public.item values (1, 'new', 'new', 1);
      update public.item set id = 5001 where id = 2;
      delete from public.item where id = 3;
      update public.item set id = 3 where id = 4;
      commit;`,
  ]);
  expect(refusals).toBe(0);
});

test('changes of a deferrable key are not folded: one statement that changes every key arrives in its order', async () => {
  await settled(
    /* sql */ `
      create table public.seat (id int not null, label text, unique (id) deferrable);
      alter table public.seat replica identity full;
      insert into public.seat select n, 'seat ' || n from generate_series(1, 100) n;`,
    [
      /* sql */ `update public.seat set id = id + 1`,
      /* sql */ `delete from public.seat where id = 50`,
    ],
  );
});

test('a row changed ten thousand times costs one update', async () => {
  const { refusals } = await settled(ITEMS, [
    /* sql */ `
      do $$ begin
        for k in 1..10000 loop update public.item set n = n + 1 where id = 1; end loop;
      end $$`,
  ]);
  expect(refusals).toBe(0);
});

test('a row inserted, updated and deleted in one batch leaves nothing; one deleted and inserted again is new', async () => {
  const { refusals } = await settled(ITEMS, [
    /* sql */ `
      begin;
      insert into public.item select n, 'temporary ' || n, 'x', 1 from generate_series(2001, 2100) n;
      update public.item set id = id + 500 where id > 2000;
      delete from public.item where id > 2000;
      delete from public.item where id <= 100;
      insert into public.item select n, 'again ' || n, null, n from generate_series(1, 100) n;
      update public.item set n = null where id <= 50;
      commit;`,
  ]);
  expect(refusals).toBe(0);
});

test('composite, text, uuid, citext and domain keys, names that need quoting, and columns in another order arrive', async () => {
  const table = (columns: string): string => /* sql */ `
    create table public."Odd ""name"", really\\" (${columns}, primary key ("from", "B\\"));`;
  await using feed = await Feed.start(/* sql */ `
    create extension citext;
    create domain public.label as varchar(40) check (value <> '');
    create table public.by_uuid (id uuid primary key, n int);
    create table public.by_citext (id public.citext primary key, n int);
    create table public.by_domain (id public.label, n numeric(6, 2), c char(5) not null, primary key (id, c));`);
  await feed.source.query(table(`"from" text, "B\\" int, "ü.ö" text`));
  await feed.target.query(table(`"ü.ö" text, "B\\" int, "from" text`));
  for (const sql of [
    /* sql */ `insert into public."Odd ""name"", really\\" select n::text || E'\\t\\\\', n, E'line\\n' || n from generate_series(1, 200) n`,
    /* sql */ `update public."Odd ""name"", really\\" set "from" = "from" || 'x' where "B\\" % 2 = 0`,
    /* sql */ `delete from public."Odd ""name"", really\\" where "B\\" % 5 = 0`,
    /* sql */ `insert into public.by_uuid select gen_random_uuid(), n from generate_series(1, 200) n`,
    /* sql */ `insert into public.by_citext select 'Key ' || n, n from generate_series(1, 200) n`,
    /* sql */ `insert into public.by_domain select 'd ' || n, n, n from generate_series(1, 200) n`,
  ]) {
    await feed.source.query(sql);
  }
  await feed.apply();
  for (const sql of [
    /* sql */ `update public.by_uuid set id = gen_random_uuid(), n = -n where n % 2 = 0`,
    /* sql */ `delete from public.by_uuid where n % 3 = 0`,
    /* sql */ `update public.by_citext set id = upper(id::text) where n % 2 = 0`,
    /* sql */ `delete from public.by_citext where n % 3 = 0`,
    /* sql */ `insert into public.by_citext select 'kEY ' || n, 0 from generate_series(3, 99, 3) n`,
    /* sql */ `update public.by_domain set n = n / 3, id = id || '.'`,
    /* sql */ `delete from public.by_domain where c < '3'`,
  ]) {
    await feed.source.query(sql);
  }
  const { refusals } = await feed.apply();
  expect(refusals).toBe(0);
  const select = (name: string): string =>
    `select t::text from (select "from", "B\\", "ü.ö" from ${name} order by 2) t`;
  const odd = select(`public."Odd ""name"", really\\"`);
  expect((await feed.target.query(odd)).rows).toEqual((await feed.source.query(odd)).rows);
  await feed.source.query(/* sql */ `drop table public."Odd ""name"", really\\"`);
  await feed.target.query(/* sql */ `drop table public."Odd ""name"", really\\"`);
  await expectEqual(feed.source, feed.target);
});

test('generated columns are not written, identity columns are', async () => {
  await using feed = await Feed.start(/* sql */ `
    create table public.bill (
      id int generated always as identity primary key,
      net int, gross int generated always as (net * 2) stored,
      line int generated always as identity);
    insert into public.bill (net) select n from generate_series(1, 100) n;`);
  await feed.source.query(/* sql */ `
    insert into public.bill (net) select n from generate_series(1, 200) n;
    update public.bill set net = net + 1;
    delete from public.bill where id % 7 = 0;`);
  const { refusals } = await feed.apply();
  expect(refusals).toBe(0);
  // Sequences are not in the stream; the cutover sets them.
  for (const client of [feed.source, feed.target]) {
    await client.query(
      /* sql */ `select setval('public.bill_id_seq', 1), setval('public.bill_line_seq', 1)`,
    );
  }
  await expectEqual(feed.source, feed.target);
});

test('without a key exactly one of the equal rows is changed, also with nulls and json', async () => {
  await settled(
    /* sql */ `
      create table public.log (a int, b json, c text, d bool, e bytea, f char(4), g int[]);
      alter table public.log replica identity full;
      create index on public.log (a);
      insert into public.log select n % 3, '{"a":  1, "a": 2}', null, n % 2 = 0, '\\x00ff', 'x', '{1,null}'
        from generate_series(1, 120) n;
      insert into public.log values (null, null, null, null, null, null, null), (null, null, null, null, null, null, null);`,
    [
      /* sql */ `delete from public.log where ctid = (select min(ctid) from public.log where a = 1)`,
      /* sql */ `delete from public.log where ctid = (select min(ctid) from public.log where a is null)`,
      /* sql */ `update public.log set c = 'one' where ctid = (select min(ctid) from public.log where a = 2)`,
      /* sql */ `update public.log set b = '{"a": 1}' where ctid in (select ctid from public.log where a = 0 limit 10)`,
      /* sql */ `insert into public.log select 9, '[]', 'many', true, '', 'y', '{}' from generate_series(1, 100)`,
      /* sql */ `delete from public.log where ctid in (select ctid from public.log where a = 9 limit 60)`,
    ],
  );
});

test('rows of a table with identity FULL and a primary key are matched by the key', async () => {
  const { refusals } = await settled(`${ITEMS} alter table public.item replica identity full;`, [
    /* sql */ `update public.item set n = 3, id = id + 1000`,
    /* sql */ `delete from public.item where id % 2 = 0`,
  ]);
  expect(refusals).toBe(0);
});

test('TRUNCATE is a barrier, also of several tables at once and between their changes', async () => {
  await settled(
    /* sql */ `
      create table public.parent (id int primary key);
      create table public.child (id int primary key, parent int references public.parent);
      create table public.kept (id int primary key);
      insert into public.parent select generate_series(1, 100);
      insert into public.child select n, n from generate_series(1, 100) n;`,
    [
      /* sql */ `insert into public.kept select generate_series(1, 100)`,
      /* sql */ `insert into public.child select n, 1 from generate_series(201, 300) n`,
      /* sql */ `truncate public.parent cascade`,
      /* sql */ `insert into public.parent select generate_series(1, 60)`,
      /* sql */ `insert into public.child select n, n from generate_series(1, 60) n`,
      /* sql */ `delete from public.child where id = 5`,
    ],
  );
});

test('partitions: rows move between leaves, and a TRUNCATE of the root empties them', async () => {
  await settled(
    /* sql */ `
      create table public.part (id int, n int, primary key (id, n)) partition by range (n);
      create table public.part_1 partition of public.part for values from (0) to (100);
      create table public.part_2 partition of public.part for values from (100) to (1000);
      insert into public.part select n, n from generate_series(1, 150) n;`,
    [
      /* sql */ `update public.part set n = n + 60`,
      /* sql */ `truncate public.part`,
      /* sql */ `insert into public.part select n, n from generate_series(1, 150) n`,
      /* sql */ `update public.part set n = n + 60`,
    ],
  );
});

test('changes of a parent in an inheritance tree do not touch its children', async () => {
  await settled(
    /* sql */ `
      create table public.base (id int primary key, n int);
      create table public.derived (primary key (id)) inherits (public.base);
      insert into public.base select n, 0 from generate_series(1, 100) n;
      insert into public.derived select n, 0 from generate_series(1, 100) n;`,
    [
      /* sql */ `update only public.base set n = 1`,
      /* sql */ `delete from only public.base where id > 90`,
      /* sql */ `update public.derived set n = 2 where id = 1`,
    ],
  );
});

test('self-referencing and circular foreign keys, triggers and rules do not fire', async () => {
  await settled(
    /* sql */ `
      create table public.node (id int primary key, up int references public.node deferrable initially deferred);
      create table public.audit (id int primary key);
      create function public.note() returns trigger language plpgsql as
        $$ begin insert into public.audit values (new.id); return new; end $$;
      create trigger note after insert on public.node for each row execute function public.note();`,
    [
      /* sql */ `begin; insert into public.node select n, n % 100 + 1 from generate_series(1, 100) n; commit`,
      /* sql */ `begin; update public.node set up = null where id < 50; delete from public.node where id > 90; delete from public.node where up is null and id < 10; update public.node set up = null where up < 10 or up > 90; commit`,
    ],
  );
});

test('a table of one column and one without columns arrive', async () => {
  await settled(
    /* sql */ `
      create table public.one (id int primary key);
      create table public.none ();
      alter table public.none replica identity full;`,
    [
      /* sql */ `insert into public.one select generate_series(1, 100)`,
      /* sql */ `update public.one set id = id + 1000`,
      /* sql */ `delete from public.one where id < 1010`,
      /* sql */ `insert into public.none select from generate_series(1, 3)`,
    ],
  );
});
