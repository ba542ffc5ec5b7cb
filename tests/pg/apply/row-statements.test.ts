/** Real output of wal2json through byte rows, folding and one pipelined send of statements: the target equals the source. */
import { expect, test } from 'vitest';
import {
  FoldedFlights,
  PLANS_BY_KEY,
  type FoldedTable,
} from '../../../postgres/apply/folded-flight.ts';
import { RowStatements } from '../../../postgres/apply/row-statements.ts';
import type { RowLayout } from '../../../postgres/apply/row-layout.ts';
import { TableRows } from '../../../postgres/apply/table-rows.ts';
import { readTable } from '../../../postgres/apply/table-catalog.ts';
import { Flight } from '../../../postgres/session/flight.ts';
import { FlightFailed } from '../../../postgres/session/flight-query.ts';
import { Kept } from '../../../postgres/session/kept-statement.ts';
import { triggerQuery, firingStates } from '../../../postgres/schema/enabled-trigger.ts';
import { BYTEA, PLAIN, SKIPPED } from '../../../postgres/wal2json/value.ts';
import { freshPair } from '../../support/database.ts';
import { expectEqual } from '../../support/equality.ts';
import { drawn } from '../../support/random/pick.ts';
import { Feed } from './apply-feed.ts';

const SCHEMA = /* sql */ `
  create type public.mood as enum ('sad', 'so "so"', 'happy');
  create domain public.short as varchar(12);
  create type public.pair as (a int, b text);
  create collation public.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  create table public.item (
    a int, b text collate public.blind, n numeric(12, 3), m public.mood, d public.short, by bytea, j jsonb, p public.pair, ts timestamptz,
    arr text[], big text, bx bool, g int generated always as (a * 2) stored, i bigint generated always as identity, primary key (b, a));
  alter table public.item alter column big set storage external;`;

const heads = (line: Buffer): number => {
  const found = [',"columns":[', ',"identity":['].map((text) => line.indexOf(text));
  return Math.min(...found.filter((at) => at >= 0));
};

async function prepared(feed: Feed) {
  const relation = await feed.relation('public', 'item');
  await feed.target.query(`set search_path = ''`);
  const table = await readTable(feed.target, relation, 1);
  const layout: RowLayout = {
    heads: relation.columns.map(({ name }) =>
      Buffer.from(`{"name":${JSON.stringify(name)},"value":`),
    ),
    names: relation.columns.map(({ name }) => name),
    kinds: relation.columns.map(({ baseTypeName, generated }) =>
      generated ? SKIPPED : baseTypeName === 'bytea' ? BYTEA : PLAIN,
    ),
    varying: relation.columns.map(({ name }) => name === 'big'),
    key: [0, 1],
  };
  const statements = RowStatements.of(table, layout);
  if (statements === null) throw new Error('no statements');
  const rows = new TableRows(layout);
  const kept = new Kept();
  const apply = async (): Promise<number> => {
    rows.reset();
    for (const text of await feed.lines()) {
      const line = Buffer.from(text);
      const at = heads(line);
      if (text.startsWith('{"action":"I"')) expect(rows.insert(line, at), text).toBe(true);
      if (text.startsWith('{"action":"U"')) expect(rows.update(line, at), text).toBe(true);
      if (text.startsWith('{"action":"D"')) expect(rows.delete(line, at), text).toBe(true);
    }
    const flight = new Flight(kept);
    const expected: number[] = [];
    flight.run('begin');
    expect(statements.fits(rows)).toBe(true);
    statements.add(flight, rows, (count) => expected.push(count));
    expect((await flight.send(feed.target)).slice(1)).toEqual(expected);
    await feed.target.query('commit');
    return expected.length;
  };
  return { apply, kept, relation, table, layout };
}

test('random inserts, updates and deletes of every kind of value arrive, batch after batch', async () => {
  const random = drawn();
  await using feed = await Feed.start(SCHEMA);
  const { apply } = await prepared(feed);
  const texts = [
    'null',
    `''`,
    `E'tab\\t nl\\n bs\\\\ cr\\r "q" \\\\N'`,
    `'é€😀, {x}'`,
    `E'\\b\\f\\x01'`,
  ];
  const text = (): string => texts[random.below(texts.length)] ?? 'null';
  const big = (n: number): string => (random.below(3) === 0 ? `repeat(md5('${n}'), 200)` : text());
  let next = 0;
  const statement = (): string => {
    const [a, b] = [random.below(30), random.below(4)];
    next += 1;
    switch (random.below(5)) {
      case 0:
      case 1:
        return `insert into public.item (a, b, n, m, d, by, j, p, arr, ts, big, bx)
          values (${a}, 'K${b}', ${next}.5, (array['sad', 'so "so"', null])[${1 + random.below(3)}]::public.mood, left(${text()}, 12), decode(md5('${next}'), 'hex'),
                  '{"a": [1,  null, "x\\"y"]}', row(${a}, ${text()})::public.pair, array[${text()}, 'x', null], 'epoch', ${big(next)}, ${random.below(2) === 0}) on conflict do nothing`;
      case 2:
        return `update public.item set n = n + 1, d = left(${text()}, 12), by = null where a = ${a} and b = 'K${b}'`;
      case 3:
        return `update public.item set big = ${big(next)}, bx = null where a = ${a} and b = 'K${b}'`;
      default:
        return `delete from public.item where a = ${a} and b = 'K${b}'`;
    }
  };
  for (const size of [400, 1, 3, 60, 2_000, 20]) {
    const statements = Array.from({ length: size }, statement);
    await feed.source.query(`begin; ${statements.join('; ')}; commit`);
    await apply();
    // The state of a sequence is in no change.
    const { rows } = await feed.source.query<{ last: string }>(
      `select last_value::text as last from public.item_i_seq`,
    );
    await feed.target.query(`select setval('public.item_i_seq', $1)`, [rows[0]?.last]);
    await expectEqual(feed.source, feed.target);
  }
});

test('a refused statement is distinguished from the others, and the session continues', async () => {
  await using feed = await Feed.start(SCHEMA);
  const { apply, kept } = await prepared(feed);
  await feed.source.query(
    `insert into public.item (a, b) select g, 'k' from generate_series(1, 100) g`,
  );
  await feed.target.query(`insert into public.item (a, b) values (50, 'K')`);
  await expect(apply()).rejects.toMatchObject({ statement: 1, cause: { code: '23505' } });
  await feed.target.query('rollback');
  const flight = new Flight(kept);
  flight.run('select 1');
  flight.run('select $1::int / 0', '1');
  flight.run('select 2');
  const failure: unknown = await flight.send(feed.target).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(FlightFailed);
  expect(failure).toMatchObject({ statement: 1, cause: { code: '22012' } });
  await feed.target.query(`delete from public.item`);
  await feed.source.query(`delete from public.item`);
  await feed.lines();
  await feed.source.query(`insert into public.item (a, b) values (1, 'k')`);
  expect(await apply()).toBe(1);
});

test('rows that were encoded ahead of a send that fails are encoded again, with the statements that it was to prepare', async () => {
  await using feed = await Feed.start(SCHEMA);
  const { relation, table, layout } = await prepared(feed);
  const flights = new FoldedFlights(feed.target);
  const inserted = async (a: number): Promise<FoldedTable[]> => {
    await feed.source.query(`insert into public.item (a, b) values (${a}, 'k')`);
    const rows = new TableRows(layout);
    for (const text of await feed.lines()) {
      if (text.startsWith('{"action":"I"'))
        expect(rows.insert(Buffer.from(text), heads(Buffer.from(text)))).toBe(true);
    }
    return [{ relation, rows, refuse: () => undefined, release: () => undefined }];
  };
  const groupsOf = (tables: readonly FoldedTable[]) => {
    const groups = flights.group(
      tables,
      [table],
      () => new Map(),
      () => undefined,
    );
    if (groups === null) throw new Error('it does not fit');
    return groups;
  };
  const begin = [{ sql: 'begin', rows: null }];
  await feed.target.query(`insert into public.item (a, b) values (1, 'k')`);
  const [first, second] = [await inserted(1), await inserted(2)];
  const flying = flights.fly(begin, groupsOf(first), true, null);
  flights.writeAhead(second, groupsOf(second));
  expect(flights.groupsAhead(second)).not.toBeNull();
  expect(await flying).toMatchObject({ outcome: 'refused', error: { code: '23505' } });
  await feed.target.query('rollback');
  expect(flights.groupsAhead(second)).toBeNull();
  expect(await flights.fly(begin, groupsOf(second), true, null)).toMatchObject({
    outcome: 'applied',
  });

  // If it does not fail, they are sent unchanged.
  const third = await inserted(3);
  const alone = flights.fly([], groupsOf(third), true, null);
  const fourth = await inserted(4);
  flights.writeAhead(fourth, groupsOf(fourth));
  expect(await alone).toMatchObject({ outcome: 'applied' });
  const ahead = flights.groupsAhead(fourth);
  if (ahead === null) throw new Error('they were not kept');
  expect(await flights.fly([], ahead, true, null)).toMatchObject({ outcome: 'applied' });
  await feed.target.query('commit');
  await feed.target.query(`select setval('public.item_i_seq', 4)`);
  await expectEqual(feed.source, feed.target);
});

test('queries that accompany the rows start no parallel workers and scan no whole catalog', async () => {
  await using db = await freshPair();
  const { sql, values } = triggerQuery([{ schema: 'public', name: 'item' }], firingStates(true));
  await db.targetClient.query(/* sql */ `begin`);
  for (const [name, value] of Object.entries(PLANS_BY_KEY)) {
    await db.targetClient.query(/* sql */ `select set_config($1, $2, true)`, [name, value]);
  }
  const { rows } = await db.targetClient.query<{ 'QUERY PLAN': string }>(`explain ${sql}`, [
    ...values,
  ]);
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  expect(plan).toContain('pg_trigger');
  expect(plan).not.toMatch(/Gather|Seq Scan/);
});
