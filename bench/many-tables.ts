/**
 * A migration of very many tables and sequences, step by step: the duration of each step and its longest gap between heartbeats.
 *
 *   PGSERVICEFILE=FILE node --import tsx bench/many-tables.ts SOURCE TARGET [TABLES] [COLUMNS]
 *
 * SOURCE and TARGET are services of two empty databases on otherwise idle servers: the tables are created in them and
 * stay. The source needs wal_level = logical. Prints the rows of the table in docs/performance.md; nothing is asserted.
 */
import { parseInput } from '../contract/input.ts';
import { connect } from '../postgres/connection/session.ts';
import { Journey } from '../tests/support/journey.ts';

const DEFAULT_TABLES = 100_000;
const DEFAULT_COLUMNS = 6;

const [source, target, tablesText, columnsText] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  throw new Error('usage: bench/many-tables.ts SOURCE TARGET [TABLES] [COLUMNS]');
}
const tables = Number(tablesText ?? DEFAULT_TABLES);
const columns = Number(columnsText ?? DEFAULT_COLUMNS);
const parsed = parseInput({ source, target });
if (!parsed.ok) throw new Error(parsed.message);

/** A commit for each thousand tables: one transaction could not lock them all. */
async function make(service: string): Promise<void> {
  await using client = await connect(service, 'cleanup');
  const list = Array.from({ length: columns }, (_, i) => `c${i} text`).join(', ');
  await client.query(/* sql */ `set synchronous_commit = off`);
  await client.query(/* sql */ `
    do $$
    begin
      for i in 1..${tables} loop
        continue when to_regclass(format('t_%s', i)) is not null;
        execute format('create table t_%s (id bigserial primary key, ${list})', i);
        execute format('insert into t_%s (c0) select ''x'' from generate_series(1, 3)', i);
        if i % 1000 = 0 then commit; end if;
      end loop;
    end $$`);
}

const line = (step: string, seconds: string, silence: string, outcome: string): void =>
  console.log(`| ${step} | ${seconds} | ${silence} | ${outcome} |`);

const made = performance.now();
await make(source);
console.log(`made in ${((performance.now() - made) / 1000).toFixed(0)} s`);
line('step', 'seconds', 'longest silence', 'outcome');
const journey = new Journey(parsed.input, ({ step, seconds, silence, outcome }) =>
  line(step, seconds.toFixed(1), silence.toFixed(1), outcome),
);
try {
  await journey.prepare();
  await using client = await connect(source, 'cleanup');
  // One change in each of many tables, every one its own transaction.
  await client.query(/* sql */ `
    do $$ begin for i in 1..${Math.min(tables, 20_000)} loop
      execute format('update t_%s set c0 = ''y'' where id = 1', i); commit;
    end loop; end $$`);
  await journey.drain('streamChanges (20,000 tables)');
  await journey.cutOver();
} finally {
  await journey.end();
  console.log(`peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`);
}
