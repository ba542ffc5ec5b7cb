/** An asynchronous standby of the target is promoted during the cutover: the latest work of finished steps is lost with its marks. */
import { expect, test } from 'vitest';
import { compareCounts } from '../../../postgres/cutover/compare-counts.ts';
import { writeEndMark } from '../../../postgres/stream/end-mark.ts';
import { releaseSlot } from '../../../postgres/cutover/release-slot.ts';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { refreshViews } from '../../../postgres/schema/refresh-views.ts';
import type { Lsn } from '../../../contract/lsn.ts';
import { freshPair } from '../../support/database.ts';
import { Steps } from '../../support/steps.ts';
import { testWork } from '../../support/stream.ts';
import { failure } from '../schema/schema-fidelity.ts';

const SCHEMA = /* sql */ `
  create schema app;
  create function app.same() returns trigger language plpgsql as 'begin return new; end';
  create function app.odd(v text) returns boolean immutable language sql as 'select true';
  create table app.t (id serial primary key, v text unique, constraint late check (v <> current_user),
    constraint refused check (app.odd(v) and v <> current_user), constraint dropped check (v <> session_user));
  create index t_v_idx on app.t (v, id);
  create table app.child (id int primary key, t int constraint child_t_fkey references app.t);
  create trigger one before insert on app.t for each row execute function app.same(); alter table app.t enable always trigger one;
  create materialized view app.m as select count(*) as n from app.t;
  create materialized view app.later as select 1 as n with no data;
  insert into app.t (v) values ('a');`;

/** As on the promoted server: neither the work nor its mark. */
const LOST = [
  {
    what: 'trigger one of app.t (disabled)',
    sql: /* sql */ `alter table app.t disable trigger one; update walferry.disabled_trigger set given_back = false where name = 'one'`,
  },
  {
    what: 'INDEX app.t_v_idx (not built)',
    sql: /* sql */ `drop index app.t_v_idx; update walferry.schema_entry set done_at = null where name = 't_v_idx'`,
  },
  {
    what: 'CONSTRAINT t_v_key on app.t (not built)',
    sql: /* sql */ `alter table app.t drop constraint t_v_key; update walferry.schema_entry set done_at = null where name = 't t_v_key'`,
  },
  {
    what: 'FK CONSTRAINT child_t_fkey on app.child (not built)',
    sql: /* sql */ `alter table app.child drop constraint child_t_fkey;
      update walferry.schema_entry set done_at = null, added = null where kind = 'FK CONSTRAINT'`,
  },
  {
    what: 'check constraint late of app.t (not added)',
    sql: /* sql */ `alter table app.t drop constraint late; update walferry.schema_entry set done_at = null where tables[1] = 'late'`,
  },
  {
    what: 'materialized view app.m (not refreshed)',
    sql: /* sql */ `refresh materialized view app.m with no data; update walferry.schema_entry set refreshed = null where name = 'm'`,
  },
  {
    what: 'materialized view app.m (not refreshed)',
    sql: /* sql */ `update walferry.schema_entry set refreshed = '0/1' where name = 'm'`,
  },
  {
    what: 'materialized view app.later was filled on the source and is empty on',
    sql: /* sql */ `refresh materialized view app.later with no data;
      update walferry.schema_entry set refresh = false, refreshed = null where name = 'later'`,
  },
] as const;

/** The steps of a cutover that follow its drain. */
async function finish({ migration, input }: Steps, mark: Lsn): Promise<void> {
  await buildConstraints(migration, input, testWork());
  await compareCounts(migration, input, testWork());
  await refreshViews(migration, input, mark, testWork());
  await setSequences(migration, input);
  await enableTriggers(migration);
}

test('a cutover whose finished work was lost in a failover of the target keeps the slot and names that work; the next cutover repeats it', async () => {
  await using db = await freshPair();
  await db.sourceClient.query(SCHEMA);
  await using steps = new Steps(db.source, db.target);
  const { migration, input } = steps;
  await steps.copy();
  await steps.indexes();
  const mark = await steps.drain();
  // Two checks that are not added on purpose: no reason to keep the slot.
  await db.sourceClient.query(/* sql */ `alter table app.t drop constraint dropped`);
  await db.targetClient.query(/* sql */ `drop function app.odd`);
  // Filled on the source after its schema was copied.
  await db.sourceClient.query(/* sql */ `refresh materialized view app.later`);
  await finish(steps, mark);
  const release = () => releaseSlot(migration, input, mark);
  for (const { what, sql } of LOST) {
    await db.targetClient.query(sql);
    const { message } = await failure(release(), 'TargetRewound');
    expect(message).toContain(what);
    await finish(steps, mark);
  }
  // Its changes are applied and lost, and were not confirmed to the source.
  const later = await writeEndMark(migration);
  const behind = await failure(releaseSlot(migration, input, later), 'CheckpointMissing');
  expect(behind.message).toContain(`changes up to the end mark ${later} were applied`);
  expect(await release()).toBe('dropped');
});
