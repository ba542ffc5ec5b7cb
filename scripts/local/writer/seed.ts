/**
 * The rows that exist before the application starts to write. Created on the server (`generate_series`), because
 * sending millions of rows through a client would take longer than the migration that they are for.
 */
import type { Database } from './database.ts';
import { CONSTRAINTS, CREATE_TABLES, STATE, TABLES } from './tables.ts';

/** Rows per statement: small enough that two connections finish together and progress can be shown. */
const ROWS_PER_STATEMENT = 100_000;
const SEED_CONNECTIONS = 2;

/**
 * Whether an earlier run seeded this database to the end.
 * @throws Error when there are tables with these names that the writer did not create.
 */
export async function isSeeded(database: Database): Promise<boolean> {
  await using client = await database.connect();
  const result = await client.query<{ tables: number; foreigners: number; complete: boolean }>(
    STATE,
  );
  const { tables = 0, foreigners = 0, complete = false } = result.rows[0] ?? {};
  if (foreigners > 0) {
    throw new Error(
      `"${database.service}" has tables named like ${TABLES.join(', ')} that the writer did not create; use a separate database`,
    );
  }
  return complete && tables === TABLES.length;
}

/**
 * Creates the tables and fills them: `rows` in `person`, a tenth of that in `account` and in `purchase`, a thousandth in `note` and a
 * hundredth in `event`.
 * @param report called with the number of persons inserted so far.
 */
export async function seed(
  database: Database,
  rows: number,
  report: (done: number) => void,
): Promise<void> {
  await makeEmptyTables(database);
  let next = 0;
  let done = 0;
  const connection = async () => {
    await using client = await database.connect();
    await client.query('set synchronous_commit = off');
    while (next < rows) {
      const first = next + 1;
      next = Math.min(rows, next + ROWS_PER_STATEMENT);
      const last = next;
      await client.query(SEED_PERSONS, [first, last]);
      done += last - first + 1;
      report(done);
    }
  };
  await Promise.all(Array.from({ length: SEED_CONNECTIONS }, connection));

  await using client = await database.connect();
  for (const statement of SEED_OTHERS) await client.query(statement, [rows]);
  for (const step of CONSTRAINTS) await sideBySide(database, step);
  // Statistics for the copy's plan and its progress estimate; autovacuum would run a minute too late.
  await client.query('analyze person, account, purchase, note, event');
}

async function makeEmptyTables(database: Database): Promise<void> {
  await using client = await database.connect();
  await client.query("set client_min_messages = 'warning'");
  const left = await client.query(`select where to_regclass('person') is not null`);
  if (left.rowCount === 1) {
    // The tables of an interrupted run are useless: rows without keys. They are ours, as checked before.
    await client.query(`drop table if exists ${TABLES.join(', ')} cascade`);
    await client.query('drop sequence if exists change_number, invoice_number');
  }
  await client.query(CREATE_TABLES);
}

async function sideBySide(database: Database, statements: readonly string[]): Promise<void> {
  const waiting = [...statements];
  const connection = async () => {
    await using client = await database.connect();
    await client.query("set maintenance_work_mem = '256MB'");
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await client.query(next);
    }
  };
  await Promise.all(Array.from({ length: SEED_CONNECTIONS }, connection));
}

const SEED_PERSONS = /* sql */ `
insert into person (name, city, born)
select 'Person ' || n,
       (array['Amsterdam', 'Bergen', 'Cork', 'Dresden', 'Essaouira', 'Faro', 'Ghent', 'Helsinki'])[1 + n % 8],
       date '1940-01-01' + (n % 25000)::integer
from generate_series($1::bigint, $2::bigint) n`;

const SEED_OTHERS = [
  /* sql */ `
insert into account (person_id, balance)
select id, (id % 10000) + 0.250000 from person where id <= greatest($1::bigint / 10, 1)`,
  /* sql */ `
insert into purchase (person_id, account_id, invoice, amount)
select person_id, id, nextval('invoice_number'), (id % 500) + 0.95
from account where id <= greatest($1::bigint / 10, 1)`,
  /* sql */ `
insert into note (person_id, body, tags, raw)
select id,
       (select string_agg(md5(person.id::text || i), '') from generate_series(1, 90) i),
       jsonb_build_object('seeded', true, 'number', id),
       decode(md5(id::text), 'hex')
from person where id <= greatest($1::bigint / 1000, 1)`,
  /* sql */ `
insert into event (connection, position, kind, payload)
select n % 4, n, 'seeded', case when n % 3 = 0 then null else jsonb_build_object('n', n) end
from generate_series(1, greatest($1::bigint / 100, 1)) n`,
];
