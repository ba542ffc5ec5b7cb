/** What PostgreSQL leaves when a table gets a new file, on every available version: the basis of catalog/table-file.ts. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { isReplaced } from '../../../postgres/catalog/table-file.ts';
import {
  readDefinitions,
  type TableDefinition,
} from '../../../postgres/catalog/table-definition.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { serverOf } from '../../support/versions.ts';

const TABLES = /* sql */ `create table toasted (id int primary key, v text); create index on toasted (v);
  create table counted (id serial primary key, v int); create table bare (id int primary key, v int);
  create table other (id int primary key); create index on other (id); create table second (id int unique, v text unique);
  create table third (id serial); create table fourth (id int primary key)`;
/** Statement, and whether changes may be missing after it. `t` is the table; the file to compare with is from before the statement. */
const STATEMENTS: readonly (readonly [string, boolean])[] = [
  [`vacuum full t`, false],
  [`cluster t using t_pkey`, false],
  [`truncate t`, false],
  [`begin; insert into t values (1); truncate t; insert into t values (2); commit`, false],
  [`truncate other, second, third, fourth, t`, false],
  [`begin; truncate other, t; insert into t values (2); truncate t; commit`, false],
  [
    `begin; insert into other values (1); truncate other, second, third, fourth, t; insert into t values (2); commit`,
    false,
  ],
  [`reindex table t`, false],
  [`alter table t set unlogged; alter table t set logged`, true],
  [`begin; alter table t set unlogged; alter table t set logged; commit`, true],
  [`begin; truncate t; alter table t set unlogged; alter table t set logged; commit`, true],
  [
    `begin; truncate other, t; alter table t set unlogged, set (fillfactor = 90); truncate other, second; alter table t set logged; commit`,
    true,
  ],
  [
    `begin; truncate t; alter table t set unlogged; alter table t set logged, add unique (id); alter table t drop constraint if exists t_id_key; commit`,
    true,
  ],
  [`begin; alter table t set unlogged; alter table t set logged; truncate t; commit`, true],
  [`alter table t set unlogged; truncate t; alter table t set logged; vacuum full t`, true],
];

async function holds(client: pg.ClientBase): Promise<void> {
  await client.query(TABLES);
  const definitionOf = async (name: string): Promise<TableDefinition> => {
    const { rows } = await client.query<{ oid: number }>(
      /* sql */ `select $1::regclass::oid::int8::float8 as oid`,
      [name],
    );
    const definition = (await readDefinitions(client, [rows[0]?.oid ?? 0])).get(rows[0]?.oid ?? 0);
    if (!definition) throw new Error('no such table');
    return definition;
  };
  for (const name of ['toasted', 'counted', 'bare']) {
    for (const [sql, missing] of STATEMENTS) {
      const before = await definitionOf(name);
      const of = sql.replaceAll(/\bt\b/g, name).replaceAll('t_pkey', `${name}_pkey`);
      for (const one of of.split('; ')) await client.query(one);
      const now = await definitionOf(name);
      const rewritten = !sql.startsWith('reindex');
      // Without a witness every other file counts as a replacement.
      const expected = name === 'bare' ? rewritten : missing;
      expect(isReplaced(before, now), of).toBe(expected);
      if (name !== 'bare' || !rewritten) continue;
      // Its own TRUNCATE, together with others and little else, explains the file; never if both SETs follow it.
      if (/\btruncate\b/.test(sql)) {
        const hides = /^begin/.test(sql) ? /truncate.*logged|logged.*truncate/.test(sql) : missing;
        expect(now.emptiedBy === null, of).toBe(hides && /^begin/.test(sql));
      }
    }
  }
}

test('SET UNLOGGED and SET LOGGED replace the witness of a table; VACUUM FULL, CLUSTER, TRUNCATE and REINDEX do not', async () => {
  await using db = await freshPair();
  await using client = await connectTo(db.source);
  await holds(client);
});

for (const major of [17, 18] as const) {
  const other = findOther(major);
  test.skipIf(!other)(`the same holds on PostgreSQL ${major}`, async () => {
    if (!other) return;
    await using server = await serverOf('target', other);
    const client = new pg.Client(server.connection('postgres'));
    await client.connect();
    try {
      await holds(client);
    } finally {
      await client.end();
    }
  });
}
