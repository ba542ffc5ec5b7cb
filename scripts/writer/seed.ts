/**
 * The rows that are there before the application starts to write. Made by the server (`generate_series`), because
 * sending millions of rows through a client would take longer than the migration that they are made for.
 */
import type { Database } from './database.ts';
import { CREATE_TABLES } from './tables.ts';

/** Rows per statement: small enough that two lanes end together and progress can be shown. */
const ROWS_PER_STATEMENT = 100_000;
const SEED_LANES = 2;

/** Creates tables and sequences that are not there yet. */
export async function createTables(database: Database): Promise<void> {
  await using client = await database.connect();
  await client.query("set client_min_messages = 'warning'");
  await client.query(CREATE_TABLES);
}

/** Whether an earlier run seeded this database. */
export async function isSeeded(database: Database): Promise<boolean> {
  await using client = await database.connect();
  const result = await client.query<{ seeded: boolean }>(
    /* sql */ 'select exists (select from person) as seeded',
  );
  return result.rows[0]?.seeded === true;
}

/**
 * Fills the tables: `rows` in `person`, a tenth of that in `account` and in `purchase`, a hundredth in `note` and in
 * `event`.
 * @param report called with the number of persons inserted so far.
 */
export async function seed(
  database: Database,
  rows: number,
  report: (done: number) => void,
): Promise<void> {
  let next = 0;
  let done = 0;
  const lane = async () => {
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
  await Promise.all(Array.from({ length: SEED_LANES }, lane));

  await using client = await database.connect();
  for (const statement of SEED_OTHERS) await client.query(statement, [rows]);
  // Statistics that the copy's plan and its progress estimate from; autovacuum would come a minute too late.
  await client.query('analyze person, account, purchase, note, event');
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
select id, (id % 10000) + 0.250000 from person order by id limit greatest($1::bigint / 10, 1)`,
  /* sql */ `
insert into purchase (person_id, account_id, invoice, amount)
select person_id, id, nextval('invoice_number'), (id % 500) + 0.95
from account order by id limit greatest($1::bigint / 10, 1)`,
  /* sql */ `
insert into note (person_id, body, tags, raw)
select id,
       (select string_agg(md5(person.id::text || i), '') from generate_series(1, 90) i),
       jsonb_build_object('seeded', true, 'number', id),
       decode(md5(id::text), 'hex')
from person order by id limit greatest($1::bigint / 1000, 1)`,
  /* sql */ `
insert into event (lane, position, kind, payload)
select n % 4, n, 'seeded', case when n % 3 = 0 then null else jsonb_build_object('n', n) end
from generate_series(1, greatest($1::bigint / 100, 1)) n`,
];
