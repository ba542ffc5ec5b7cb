/** DDL on both sides, while changes are applied, on triggers, event triggers, rules and row security that are disabled until the cutover. */
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { setSequences } from '../../../postgres/cutover/set-sequences.ts';
import { connectTarget } from '../../../postgres/session/open.ts';
import { endOnTarget } from '../../../postgres/schema/drop-control.ts';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { observed } from '../../support/observed.ts';
import { serverOf } from '../../support/versions.ts';
import { definitionLines } from '../../support/definition-lines.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { enableTriggers, disableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import type { FreshPair } from '../../support/database.ts';
import { loginOn } from '../../support/preflight.ts';
import type { CopyRun } from '../../../contract/work.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { copyChunks } from '../../../postgres/snapshot/copy-run.ts';
import { HOLD_LOCK } from '../../../postgres/snapshot/test-hold.ts';
import { planCopy } from '../../../postgres/snapshot/copy-plan.ts';
import { holding, recordedWork } from '../../support/control.ts';
import { streamChanges } from '../../support/lease.ts';
import { expectSame, OPTIONS, testWork, untilStreaming } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { Steps } from '../../support/steps.ts';

const SCHEMA = /* sql */ `
  create schema app;
  create function app.f() returns trigger language plpgsql as 'begin return new; end';
  create table app.t (id int primary key); create table app.safe (id int primary key); create table app.gone (id int primary key);
  create table app.parted (id int primary key) partition by range (id);
  create table app.part_1 partition of app.parted for values from (0) to (10); create table app.part_2 partition of app.parted for values from (10) to (20);
  create trigger one before insert on app.t for each row execute function app.f(); alter table app.t enable always trigger one;
  create trigger two before insert on app.t for each row execute function app.f(); alter table app.t enable replica trigger two;
  create trigger three before insert on app.parted for each row execute function app.f(); alter table app.parted enable always trigger three;
  create trigger four before insert on app.gone for each row execute function app.f(); alter table app.gone enable always trigger four;
  create rule five as on delete to app.t where old.id = -1 do instead nothing; alter table app.t enable always rule five;
  alter table app.safe enable row level security; create policy all_rows on app.safe using (true);
  alter table app.gone enable row level security;`;

const STATES = /* sql */ `
  select c.oid::regclass::text || ' ' || g.tgname || ' ' || g.tgenabled::text as state
    from pg_trigger g join pg_class c on c.oid = g.tgrelid where c.relnamespace = 'app'::regnamespace and not g.tgisinternal
  union all select c.oid::regclass::text || ' ' || r.rulename || ' ' || r.ev_enabled::text
    from pg_rewrite r join pg_class c on c.oid = r.ev_class where c.relnamespace = 'app'::regnamespace and r.ev_type <> '1'
  union all select oid::regclass::text || ' secured' from pg_class where relnamespace = 'app'::regnamespace and relrowsecurity
  order by 1`;

async function statesOn(db: FreshPair, side: 'source' | 'target'): Promise<string[]> {
  await using client = await connectTo(db[side]);
  const { rows } = await client.query<{ state: string }>(STATES);
  return rows.map(({ state }) => state);
}

/** Everything up to the stream, as a role that is subject to row security. */
async function prepared(db: FreshPair, target: string): Promise<Steps> {
  await db.sourceClient.query(SCHEMA);
  const steps = new Steps(db.source, target, { schema: { owners: false, grants: false } });
  await steps.copy();
  await steps.indexes();
  await steps.drain();
  await buildConstraints(steps.migration, steps.input, testWork());
  return steps;
}

it.each([
  [
    'renamed',
    /* sql */ `alter table app.t rename to t_new; alter trigger two on app.t_new rename to two_new;
    alter rule five on app.t_new rename to five_new; alter table app.safe rename to safe_new; alter schema app rename to app_new;
    alter schema app_new rename to app`,
  ],
  [
    'dropped',
    /* sql */ `drop trigger one on app.t; drop rule five on app.t; drop table app.gone; drop table app.safe;
    alter table app.parted detach partition app.part_1`,
  ],
  [
    'given another state',
    /* sql */ `alter table app.t disable trigger one; alter table app.t enable trigger two;
    alter table app.part_1 disable trigger three; alter table app.t disable rule five`,
  ],
  [
    'replaced',
    /* sql */ `drop trigger one on app.t; create trigger one after insert on app.t for each row execute function app.f();
    alter table app.t enable always trigger one`,
  ],
])(
  'an object that was %s on both sides while disabled has the source’s state after the cutover',
  async (_, ddl) => {
    await using db = await freshPair();
    await using login = await loginOn(db, 'target');
    await db.targetClient.query(/* sql */ `grant create on database ${db.target} to ${login.role};
    grant set on parameter session_replication_role to ${login.role}`);
    await using steps = await prepared(db, login.service);
    await db.sourceClient.query(ddl);
    await db.targetClient.query(ddl);
    await enableTriggers(steps.migration);
    const expected = await statesOn(db, 'source');
    expect(await statesOn(db, 'target')).toEqual(expected);
    // A cutover that is undone, and the next one.
    await disableTriggers(steps.migration);
    expect((await statesOn(db, 'target')).filter((one) => / [AR]$/.test(one))).toEqual([]);
    await enableTriggers(steps.migration);
    expect(await statesOn(db, 'target')).toEqual(expected);
  },
);

it('row security that waits for the cutover is no difference, and is enabled only where the source still has it', async () => {
  await using db = await freshPair();
  await using login = await loginOn(db, 'target');
  await db.targetClient.query(/* sql */ `grant create on database ${db.target} to ${login.role};
    grant set on parameter session_replication_role to ${login.role}`);
  await using steps = await prepared(db, login.service);
  // The state of a trigger that is disabled until the cutover is no difference either.
  expect(await definitionLines(steps.migration, steps.input)).toEqual([]);
  await db.sourceClient.query(/* sql */ `
    alter table app.safe disable row level security; alter table app.safe force row level security`);
  expect(await definitionLines(steps.migration, steps.input)).toEqual([
    'app.safe: forced row security is on the source only',
  ]);
  await enableTriggers(steps.migration);
  expect(await statesOn(db, 'source')).toContain('app.gone secured');
  expect(await statesOn(db, 'target')).toEqual(await statesOn(db, 'source'));
  // A cutover that is undone, and the next one.
  await disableTriggers(steps.migration);
  await db.sourceClient.query(/* sql */ `alter table app.safe enable row level security`);
  await enableTriggers(steps.migration);
  expect(await statesOn(db, 'source')).toContain('app.safe secured');
  expect(await statesOn(db, 'target')).toEqual(await statesOn(db, 'source'));
});

it.each([
  [
    'another session holds a lock on the table',
    /* sql */ `begin; lock table app.t in share mode`,
    /* sql */ `commit`,
    { code: 'SchemaFailed', message: /of app\.t could not be enabled: another session .* 5 s/ },
  ],
  [
    'the role no longer owns the table',
    /* sql */ `alter table app.t owner to pg_monitor`,
    /* sql */ `alter table app.t owner to "role"`,
    { code: 'Denied', message: /of app\.t could not be enabled/ },
  ],
])(
  'triggers that cannot be enabled because %s are named, and the next attempt continues with the remaining ones',
  async (_, trouble, remedy, expected) => {
    await using db = await freshPair();
    await using login = await loginOn(db, 'target');
    await db.targetClient.query(/* sql */ `grant create on database ${db.target} to ${login.role};
    grant set on parameter session_replication_role to ${login.role}`);
    await using steps = await prepared(db, login.service);
    await db.targetClient.query(trouble);
    const failed = enableTriggers(steps.migration);
    await expect(failed).rejects.toMatchObject({
      code: expected.code,
      message: expect.stringMatching(expected.message) as string,
    });
    await db.targetClient.query(remedy.replace('"role"', login.role));
    await enableTriggers(steps.migration);
    expect(await statesOn(db, 'target')).toEqual(await statesOn(db, 'source'));
  },
);

it.each([
  ['created by walferry', false],
  ['that existed before', true],
])(
  'triggers of partitions that are created while triggers are disabled get their state at the cutover, on a target %s',
  async (_, given) => {
    await using db = await freshPair();
    const schema = /* sql */ `
    create schema app;
    create function app.f() returns trigger language plpgsql as 'begin return new; end';
    create table app.m (id int primary key) partition by range (id);
    create table app.m1 partition of app.m for values from (0) to (10);
    create trigger a after insert on app.m for each row execute function app.f(); alter table app.m enable always trigger a;
    create trigger r after insert on app.m for each row execute function app.f(); alter table app.m enable replica trigger r;
    create trigger o after insert on app.m for each row execute function app.f();
    create trigger d after insert on app.m for each row execute function app.f(); alter table app.m disable trigger d;
    alter table only app.m1 disable trigger a; alter table only app.m1 enable trigger r;`;
    await db.sourceClient.query(schema);
    if (given) await db.targetClient.query(schema);
    await using steps = new Steps(db.source, db.target);
    await steps.copy();
    await steps.indexes();
    await steps.drain();
    await buildConstraints(steps.migration, steps.input, testWork());
    const ddl = /* sql */ `
    create table app.m2 partition of app.m for values from (10) to (20);
    create table app.m3 partition of app.m for values from (20) to (30) partition by range (id);
    create table app.m31 partition of app.m3 for values from (20) to (25);
    create table app.m4 (id int primary key); alter table app.m attach partition app.m4 for values from (30) to (40);`;
    await db.sourceClient.query(ddl);
    await db.targetClient.query(ddl);
    if (!given) {
      await db.sourceClient.query(/* sql */ `alter table only app.m2 enable replica trigger a`);
    }
    await enableTriggers(steps.migration);
    const expected = await statesOn(db, 'source');
    expect(expected).toContain('app.m31 a A');
    expect(await statesOn(db, 'target')).toEqual(expected);
    // A cutover that is undone, another partition, and the next cutover.
    await disableTriggers(steps.migration);
    expect((await statesOn(db, 'target')).filter((one) => / [AR]$/.test(one))).toEqual([]);
    for (const client of [db.sourceClient, db.targetClient]) {
      await client.query(
        /* sql */ `create table app.m32 partition of app.m3 for values from (25) to (30)`,
      );
    }
    await enableTriggers(steps.migration);
    expect(await statesOn(db, 'target')).toEqual(await statesOn(db, 'source'));
  },
);

/** What the source's triggers and rules did is in the stream: if they fired again, a value would change twice and a row exist twice. */
const ALWAYS = /* sql */ `
  create function app.shout() returns trigger language plpgsql as $$ begin new.v := new.v || '!'; return new; end $$;
  create trigger shouts before insert or update on app.word for each row execute function app.shout();
  alter table app.word enable always trigger shouts;
  create rule copies as on insert to app.word do also insert into app.log values (new.id);
  alter table app.word enable always rule copies;
  create trigger part before insert on app.part_1 for each row execute function app.shout(); alter table app.part_1 enable always trigger part;`;
const WORDS = /* sql */ `
  create schema app;
  create table app.word (id int primary key, v text); create table app.log (id int); alter table app.log replica identity full;
  create table app.parted (id int primary key, v text) partition by range (id);
  create table app.part_1 partition of app.parted for values from (0) to (1000);`;
const wordsFrom = (first: number) => /* sql */ `
  insert into app.word select i, 'a' from generate_series(${first}, ${first + 4}) i;
  insert into app.parted select i, 'b' from generate_series(${first}, ${first + 4}) i;
  update app.word set v = v || '?' where id = ${first}`;

it.each(['between two leases', 'in the middle of a lease'])(
  'a trigger or rule with ENABLE ALWAYS that is created on both sides %s takes effect once, and is enabled by the cutover',
  async (when) => {
    await using db = await freshPair();
    await db.sourceClient.query(WORDS);
    await using steps = new Steps(db.source, db.target);
    await steps.copy();
    await steps.indexes();
    await steps.drain();
    const work = testWork();
    const lease = { ...OPTIONS, ...steps.input.tables };
    const streaming =
      when === 'between two leases' ? null : streamChanges(steps.migration, lease, work);
    if (streaming) {
      await untilStreaming(db, steps.migration);
      await db.sourceClient.query(wordsFrom(100));
      await until(
        'the first words',
        async () => (await db.targetClient.query('select from app.word')).rowCount === 5,
      );
    }
    await db.targetClient.query(ALWAYS);
    await db.sourceClient.query(ALWAYS);
    await db.sourceClient.query(wordsFrom(200));
    if (streaming) {
      await until(
        'the next words',
        async () => (await db.targetClient.query('select from app.word')).rowCount === 10,
      );
      work.abort();
      await streaming;
    }
    await db.sourceClient.query(wordsFrom(300));
    await steps.drain();
    await expectSame(db);
    await steps.cutover();
    await expectSame(db);
    expect(await statesOn(db, 'target')).toEqual(await statesOn(db, 'source'));
  },
);

it.each(['copy', 'stream'])(
  'a step waits briefly, with heartbeats, for a locked table of the target whose trigger it has to disable (%s)',
  async (which) => {
    await using db = await freshPair();
    await db.sourceClient.query(WORDS);
    await db.sourceClient.query(wordsFrom(1));
    await using steps = new Steps(db.source, db.target);
    const { migration, input } = steps;
    const work = recordedWork();
    await using writer = await connectTo(db.target);
    const { run, held } = await prepare();
    await using _held = held;
    await db.targetClient.query(ALWAYS);
    await writer.query('begin; lock app.word in row exclusive mode');
    await expect(run()).rejects.toMatchObject({
      code: 'Contention',
      message: expect.stringMatching(
        /^(trigger|rule) \w+ of app\.word could not be disabled: another session/,
      ) as string,
    });
    expect(work.beats).toContainEqual(expect.objectContaining({ waitingForLock: true }));
    await writer.query('rollback');
    if (which === 'copy') await run();
    else await steps.drain();
    await held?.stop();
    await expectSame(db);

    async function prepare() {
      if (which === 'stream') {
        await steps.copy();
        const lease = { ...OPTIONS, ...input.tables };
        return { held: null, run: () => streamChanges(migration, lease, work) };
      }
      await copySchema(migration, input, testWork());
      await createSlot(migration, testWork());
      const owner = await holding(db, migration);
      const { pass, runs } = await planCopy(migration, input, testWork());
      const copy = (run: CopyRun) => copyChunks(migration, { pass, run }, work);
      return { held: owner, run: () => Promise.all(runs.map(copy)) };
    }
  },
);

it.each(['before the first row', 'while rows are copied'])(
  'a trigger with ENABLE ALWAYS that is created on both sides %s does not fire for copied rows',
  async (when) => {
    await using db = await freshPair();
    await db.sourceClient.query(WORDS);
    await db.sourceClient.query(wordsFrom(1));
    await using steps = new Steps(db.source, db.target);
    await copySchema(steps.migration, steps.input, testWork());
    if (when === 'while rows are copied') {
      vi.stubEnv('WALFERRY_HOLDPOINT', 'before-chunks');
      await db.targetClient.query(/* sql */ `select pg_advisory_lock(${HOLD_LOCK})`);
      const copying = observed(steps.copy());
      await until('the copy to be held', async () => {
        const polling = /* sql */ `
          select from pg_stat_activity where datname = current_database() and query like '%try_advisory_lock_shared(%' and pid <> pg_backend_pid()`;
        return (await db.targetClient.query(polling)).rowCount !== 0;
      });
      await db.targetClient.query(ALWAYS);
      await db.targetClient.query(/* sql */ `select pg_advisory_unlock(${HOLD_LOCK})`);
      await expect(copying).rejects.toMatchObject({ code: 'Contention' });
      vi.unstubAllEnvs();
    } else {
      await db.targetClient.query(ALWAYS);
    }
    await db.sourceClient.query(ALWAYS);
    await steps.copy();
    await steps.indexes();
    await steps.cutover();
    await expectSame(db);
    expect(await statesOn(db, 'target')).toEqual(await statesOn(db, 'source'));
  },
);

const other = findOther(17);

it.skipIf(!other)(
  'an event trigger on login that writes to a moved table writes nothing on the target until the migration ends, also when a cutover is undone',
  async () => {
    if (!other) return;
    await using server = await serverOf('source', other);
    await using db = await freshPair({ source: server, target: server });
    const before = process.env['PATH'];
    process.env['PATH'] = [other.folder, before ?? ''].join(path.delimiter);
    try {
      await db.sourceClient.query(/* sql */ `
        create schema app; create table app.log (id bigserial primary key, who text);
        create function app.note() returns event_trigger language plpgsql as $$ begin insert into app.log (who) values ('x'); end $$;
        create event trigger welcome on login execute function app.note();
        alter event trigger welcome enable always; create event trigger goodbye on login execute function app.note()`);
      await using steps = new Steps(db.source, db.target);
      const { migration, input } = steps;
      await steps.copy();
      await steps.indexes();
      await steps.drain();
      await buildConstraints(migration, input, testWork());
      await setSequences(migration, input);
      await enableTriggers(migration);
      await disableTriggers(migration);
      // The source's sessions have written since; a row that the target itself wrote would take the key of one of those.
      await db.sourceClient.query(
        /* sql */ `alter event trigger goodbye disable; alter event trigger welcome enable`,
      );
      await steps.drain();
      await setSequences(migration, input);
      await enableTriggers(migration);
      const rows = async () =>
        (
          await db.targetClient.query<{ id: string }>(
            /* sql */ `select id from app.log order by id`,
          )
        ).rows;
      const moved = await rows();
      expect(moved.length).toBeGreaterThan(5);
      {
        await using last = await connectTarget(migration, 'cleanup');
        await endOnTarget(last, migration);
      }
      expect(await rows()).toEqual(moved);
      const states = await db.targetClient.query(/* sql */ `
        select evtname || ' ' || evtenabled::text as state from pg_event_trigger order by 1`);
      expect(states.rows).toEqual([{ state: 'goodbye D' }, { state: 'welcome O' }]);
    } finally {
      process.env['PATH'] = before;
    }
  },
);
