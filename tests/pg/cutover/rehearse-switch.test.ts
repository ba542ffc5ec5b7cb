/** The end of a cutover, rehearsed: it finds what would stop it, and leaves nothing on either side. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { steps } from '../../../activities/steps.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { recordedWork } from '../../support/control.ts';
import { loginOn } from '../../support/preflight.ts';
import { Steps } from '../../support/steps.ts';
import { REFUSED, stateOf } from '../fence/fenced.ts';

let db: FreshPair;
let login: Awaited<ReturnType<typeof loginOn>>;
let run: Steps;

beforeAll(async () => {
  db = await freshPair();
  login = await loginOn(db, 'target');
  await db.sourceClient.query(/* sql */ `
    create table person (id int primary key, name text);
    create function noted() returns trigger language plpgsql as 'begin return null; end';
    create trigger of_the_operator after insert on person for each row execute function noted();
    alter table person enable always trigger of_the_operator;
    create rule kept as on delete to person where old.id = -1 do instead nothing;
    alter table person enable always rule kept`);
  await db.targetClient.query(/* sql */ `
    grant create on database ${db.target} to ${login.role}; grant create on schema public to ${login.role}`);
  run = new Steps(db.source, login.service, {
    ...{ fence: 'trigger', schema: { owners: false, grants: false } },
  });
  await steps.copySchema({ migration: run.migration, input: run.input }, recordedWork());
  await run.copy();
  await run.indexes();
  await run.drain();
  await buildConstraints(run.migration, run.input, recordedWork());
  const prepared = { migration: run.migration, input: run.input };
  await steps.prepareCutover(prepared, recordedWork());
});

afterAll(async () => {
  await login[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

const rehearse = () =>
  steps.rehearseSwitch({ migration: run.migration, input: run.input }, recordedWork());

/** Relations, triggers with their states, and the texts of functions, all schemas. */
const OBJECTS = /* sql */ `
  select 'relation ' || c.oid::regclass::text as what from pg_class c
   where c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
  union all select tgrelid::regclass::text || ' ' || tgname || ' ' || tgenabled::text from pg_trigger
  union all select ev_class::regclass::text || ' ' || rulename || ' ' || ev_enabled::text from pg_rewrite where rulename <> '_RETURN'
  union all select proname || ' ' || prosrc from pg_proc where prolang = (select oid from pg_language where lanname = 'plpgsql')
  order by 1`;

const bothSides = () =>
  Promise.all(
    [db.sourceClient, db.targetClient].map(
      async (client) => (await client.query<{ what: string }>(OBJECTS)).rows,
    ),
  );

test('the release is rolled back with every trigger, the fence is tried on a table of its own, and nothing changes on either side', async () => {
  const before = await bothSides();
  const { triggers, probeMs } = await rehearse();
  // The trigger and the rule.
  expect(triggers).toBe(2);
  expect(probeMs).toBeGreaterThan(0);
  expect(await bothSides()).toEqual(before);
  const { rows } = await db.targetClient.query(/* sql */ `select from walferry.outcome`);
  expect(rows).toEqual([]);
  await using early = await connectTo(db.target);
  expect(await stateOf(early, /* sql */ `insert into person values (1)`)).toBe(REFUSED);
  await using app = await connectTo(db.source);
  expect(await stateOf(app, /* sql */ `insert into person values (1)`)).toBe('done');
});

test('a table that another session has locked, or that the role no longer owns, is named', async () => {
  await using other = await connectTo(db.target);
  await other.query(/* sql */ `begin; lock table person in access exclusive mode`);
  await expect(rehearse()).rejects.toMatchObject({
    code: 'Contention',
    details: { sqlstate: '55P03', table: 'public.person', side: 'target' },
  });
  await other.query(/* sql */ `rollback; alter table person owner to current_user`);
  await expect(rehearse()).rejects.toMatchObject({
    code: 'Denied',
    details: { sqlstate: '42501', table: 'public.person', side: 'target' },
  });
  await other.query(/* sql */ `alter table person owner to ${login.role}`);
  await rehearse();
});

test('a fence that something on the source disables is found before the cutover', async () => {
  await db.sourceClient.query(/* sql */ `
    create function meddle() returns event_trigger language plpgsql as $$ begin
      if to_regclass('walferry_fence.probe') is null or current_setting('meddle.done', true) = 'on' then return; end if;
      perform set_config('meddle.done', 'on', true);
      alter table walferry_fence.probe disable trigger all;
    end $$;
    create event trigger meddle on ddl_command_end when tag in ('ALTER TABLE') execute function meddle()`);
  await expect(rehearse()).rejects.toMatchObject({
    code: 'FenceRefused',
    message: expect.stringMatching(/let a write pass while it was armed/) as unknown,
  });
  await db.sourceClient.query(/* sql */ `drop event trigger meddle`);
  await rehearse();
});
