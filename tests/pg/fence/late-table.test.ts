/** Tables that are created while the stream runs: the target is closed for them before their first row, the source at the next cutover. */
import { expect, test } from 'vitest';
import { closeSteps, steps } from '../../../activities/steps.ts';
import { MigrationError } from '../../../contract/failure.ts';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { holding, recordedWork } from '../../support/control.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { Steps } from '../../support/steps.ts';
import { REFUSED, stateOf } from './fenced.ts';

const SCHEMA = /* sql */ `
  create table person (id int primary key);
  create table parted (id int, r int, primary key (id, r)) partition by list (r);
  create table parted_0 partition of parted for values in (0);
  insert into person values (1); insert into parted values (1, 0)`;
const PARTITION = /* sql */ `create table public.parted_1 partition of public.parted for values in (1)`;
const TABLE = /* sql */ `create table public.later (id int primary key)`;

/** Fails the first row of a table that has no fence: a check constraint binds walferry's sessions, too. */
const CLOSED = (table: string): string => /* sql */ `
  create function public.${table}_closed() returns boolean language sql as
    $$ select exists (select from pg_catalog.pg_trigger where tgrelid = 'public.${table}'::regclass and tgname like '~walferry_fence%') $$;
  alter table public.${table} add constraint ${table}_is_closed check (public.${table}_closed())`;

/** Applies everything with the workflow's own step, and copies what it asks for. @returns how often it copied. */
async function follow(db: FreshPair, { migration, input }: Steps): Promise<number> {
  const step = { migration, input };
  const until = await writeEndMark(migration);
  for (let copies = 0; ; copies += 1) {
    try {
      const lease = { ...step, floor: null, until, leaseMs: 60_000 };
      if ((await steps.streamChanges(lease, recordedWork())).reached) return copies;
      copies -= 1;
    } catch (error) {
      if (!(error instanceof MigrationError && error.code === 'Resync')) throw error;
      await using _owner = await holding(db, migration);
      const { pass, runs } = await steps.planCopy(step, recordedWork());
      for (const run of runs) await steps.copyChunks({ migration, pass, run }, recordedWork());
    }
  }
}

test('a table and a partition that join a running migration are fenced on the target before their first row, and on the source before it is armed', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  await using run = new Steps(db.source, db.target);
  const { migration, input } = run;
  await steps.copySchema({ migration, input }, recordedWork());
  await run.copy();
  await run.indexes();
  await run.drain();
  await using source = await connectSource(migration, 'cutover');
  const fence = fenceOf('trigger');
  await fence.install(source, migration, input, recordedWork());
  // On the target first, as walferry asks for.
  await db.targetClient.query(`${PARTITION}; ${CLOSED('parted_1')}`);
  await db.sourceClient.query(PARTITION);
  await db.sourceClient.query(/* sql */ `insert into parted values (2, 1)`);
  await follow(db, run);
  await db.targetClient.query(`${TABLE}; ${CLOSED('later')}`);
  await db.sourceClient.query(TABLE);
  await db.sourceClient.query(/* sql */ `insert into later select generate_series(1, 10)`);
  expect(await follow(db, run)).toBeGreaterThan(0);
  const { rows } = await db.targetClient.query(
    /* sql */ `select (select count(*)::int from public.parted_1) as parted, (select count(*)::int from public.later) as later`,
  );
  expect(rows).toEqual([{ parted: 1, later: 10 }]);
  const early = [
    /* sql */ `insert into public.parted_1 values (3, 1)`,
    /* sql */ `delete from public.later`,
  ];
  for (const sql of early) expect(await stateOf(db.targetClient, sql), sql).toBe(REFUSED);

  expect(await fence.install(source, migration, input, recordedWork())).toMatchObject({
    ...{ tables: 5, waiting: [] },
  });
  await fence.arm(source, migration, { cutover: 'late', milliseconds: 60_000 });
  for (const sql of early) expect(await stateOf(db.sourceClient, sql), sql).toBe(REFUSED);
  await fence.open(source, migration, 'late');
  await fence.remove(source, migration, recordedWork());
});

test('a partition that joins by the stream alone is fenced on the target before its first row, and one that an operator adds there with the next lease', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  // Through its root: the target has partitions of its own.
  await db.targetClient.query(/* sql */ `
    create table person (id int primary key);
    create table parted (id int, r int, primary key (id, r)) partition by list (r);
    create table parted_0 partition of parted for values in (0)`);
  const tables = { viaPartitionRoot: ['public.parted'] };
  await using run = new Steps(db.source, db.target, { tables });
  const { migration, input } = run;
  await steps.copySchema({ migration, input }, recordedWork());
  await run.copy();
  await run.indexes();
  await follow(db, run);
  await db.targetClient.query(`${PARTITION}; ${CLOSED('parted_1')}`);
  await db.sourceClient.query(PARTITION);
  await db.sourceClient.query(/* sql */ `insert into parted values (2, 1)`);
  expect(await follow(db, run)).toBe(0);
  const { rows } = await db.targetClient.query(
    /* sql */ `select count(*)::int as n from public.parted_1`,
  );
  expect(rows).toEqual([{ n: 1 }]);
  expect(await stateOf(db.targetClient, /* sql */ `delete from public.parted_1`)).toBe(REFUSED);

  await db.targetClient.query(
    /* sql */ `create table public.parted_2 partition of public.parted for values in (2)`,
  );
  const early = /* sql */ `insert into public.parted_2 values (1, 2)`;
  expect(await stateOf(db.targetClient, `begin; ${early}; rollback`)).toBe('done');
  const lease = { migration, input, floor: null, until: null, leaseMs: 1 };
  await steps.streamChanges(lease, recordedWork());
  expect(await stateOf(db.targetClient, early)).toBe(REFUSED);
  await closeSteps();
});
