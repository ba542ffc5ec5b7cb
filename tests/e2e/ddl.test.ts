/**
 * DDL on the source of a real migration, under load: it waits, the operator runs the DDL on the target, and it
 * continues.
 */
import { expect, test } from 'vitest';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

async function storedLsn(lab: Lab): Promise<string | undefined> {
  const rows = await lab.onTarget<{ lsn: string }>(
    `select confirmed_lsn::text as lsn from walferry.migration`,
  );
  return rows[0]?.lsn;
}

/** Runs the DDL on the target and sends `resume`, until the stream has advanced. */
async function follow(lab: Lab, ddl: string): Promise<void> {
  await lab.onTarget(ddl);
  // The workflow's own LSN is a lower bound, and may be far below where the stream stopped.
  const before = await storedLsn(lab);
  const answer = await lab.update('resume');
  expect(answer.code, answer.stderr).toBe(0);
  await until(
    'the stream to move on',
    async () => {
      const { state, waiting: reason } = await lab.progress();
      if (state === 'waiting') throw new Error(`waits again: ${reason?.reason}`);
      return (await storedLsn(lab)) !== before;
    },
    { seconds: 60 },
  );
}

test(
  'columns, types, tables and partitions change under load; each stop names the difference, and the end is equal to the last row',
  { timeout: 480_000 },
  async () => {
    await using lab = await Lab.open(`${LOAD_TABLES}
      create table event (id bigint generated always as identity, at int, v text, primary key (id, at)) partition by range (at);
      create table event_1 partition of event for values from (0) to (100);
      insert into event (at, v) select i % 100, 'e' || i from generate_series(1, 500) i`);
    await lab.worker();
    const load = lab.load();
    await lab.start({ stream: { leaseSeconds: 5 } });
    await lab.phase('stream');

    // An added column that the next change shows: no resync needed.
    const added = `alter table item add note text default 'none'`;
    await lab.onSource(added);
    let waiting = await lab.waiting();
    expect(waiting.waiting).toMatchObject({ code: 'SchemaDrift', step: 'stream' });
    expect(waiting.waiting?.reason).toContain('public.item.note is missing on the target');
    await follow(lab, added);

    // A type that would round without an error, and rows that the target's own DDL would compute differently:
    // resynced.
    const altered = `alter table pair alter n type numeric(20,4); alter table pair add seen timestamptz default clock_timestamp()`;
    await lab.onSource(altered);
    waiting = await lab.waiting();
    expect(waiting.waiting?.code).toBe('SchemaDrift');
    await lab.onSource(`insert into pair (a, b, n) values (-1, 'exact', 1.2345)`);
    await follow(lab, altered);

    // A new table and a new partition.
    const made = `create table public.later (id int primary key, v text);
      create table public.event_2 partition of event for values from (100) to (200)`;
    await lab.onSource(made);
    await lab.onSource(`insert into later select i, 'l' from generate_series(1, 300) i;
      insert into event (at, v) values (150, 'new partition'); update event set at = 160 where at = 50`);
    waiting = await lab.waiting();
    expect(waiting.waiting?.code).toBe('UnknownRelation');
    expect(waiting.waiting?.reason).toContain('public.later');
    await follow(lab, made);
    await lab.onSource(
      `update later set v = 'streamed' where id % 2 = 0; delete from later where id = 7`,
    );

    // A dropped table; and an index that no one created on the target.
    await lab.onSource(`drop table later; create index only_here on item (price)`);
    waiting = await lab.waiting();
    expect(waiting.waiting?.reason).toContain('public.later is gone on the source');
    await follow(lab, `drop table later`);

    const committed = load.committed;
    await until('more load', () => load.committed > committed + 100);
    await lab.finish();
    const { notes = [] } = await lab.progress();
    expect(notes.join('; ')).toContain('index only_here is on the source only');
    expect((await lab.ending()).text).toContain('only_here');
  },
);

test(
  'DDL during a pause is detected at the first lease after it',
  { timeout: 480_000 },
  async () => {
    await using lab = await Lab.open(LOAD_TABLES);
    await lab.worker();
    lab.load();
    await lab.start();
    await lab.phase('stream');
    expect((await lab.update('pause')).code).toBe(0);
    const ddl = `alter table note rename label to title; alter table note drop body`;
    await lab.onSource(`${ddl}; insert into note (title) values ('paused')`);
    expect((await lab.update('resume')).code).toBe(0);
    const waiting = await lab.waiting();
    expect(waiting.waiting?.code).toBe('SchemaDrift');
    expect(waiting.waiting?.reason).toMatch(/public\.note\.(title|label|body)/);
    await follow(lab, ddl);
    await lab.finish();
  },
);
