/**
 * A cutover that no one drives any more, because its run was reset or its attempt woke up too late: every step that comes after it
 * asks for the outcome before it changes anything.
 */
import { expect, test } from 'vitest';
import { steps } from '../../../activities/steps.ts';
import { cutoverId } from '../../../contract/cutover.ts';
import type { Migration } from '../../../contract/migration.ts';
import { prepareBox } from '../../../postgres/cutover/prepare-box.ts';
import { removeSourceFence } from '../../../postgres/cutover/remove-source-fence.ts';
import { fenceOf } from '../../../postgres/fence/kinds.ts';
import { closeBeforeRows } from '../../../postgres/fence/target-steps.ts';
import { connectSource } from '../../../postgres/session/open.ts';
import { noteCutoverCall } from '../../../postgres/store/cutover-call.ts';
import { decide, readOutcome, type Decided } from '../../../postgres/store/outcome.ts';
import { inputOf, recordedWork } from '../../support/control.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { startMigration } from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { REFUSED, stateOf } from '../fence/fenced.ts';
import { failure } from '../schema/schema-fidelity.ts';

const fence = fenceOf('trigger');
const WRITE = /* sql */ `insert into t default values`;
const DDL = /* sql */ `
  create table t (id int generated always as identity primary key);
  create function noted() returns trigger language plpgsql as 'begin return null; end';
  create trigger noted after insert on t for each row execute function noted()`;

interface Forgotten {
  readonly migration: Migration;
  readonly cutover: string;
}

/** A source that is sealed for a cutover, and the outcome if there is one. */
async function sealed(db: FreshPair, outcome?: Decided): Promise<Forgotten> {
  const migration = await startMigration(db, DDL);
  await using source = await connectSource(migration, 'cutover');
  const { waiting } = await fence.install(source, migration, inputOf(db), recordedWork());
  expect(waiting).toEqual([]);
  const cutover = cutoverId(migration, 'earlier');
  await fence.arm(source, migration, { cutover, milliseconds: 60_000 });
  expect(await fence.seal(source, migration, cutover)).toBe(true);
  if (outcome) await decide(db.targetClient, migration, cutover, outcome);
  return { migration, cutover };
}

const outcomeIn = async ({ targetClient }: FreshPair, { cutover }: Forgotten) =>
  (await readOutcome(targetClient, cutover))?.what;

const leaseOf = (db: FreshPair, migration: Migration, run: string) => {
  const input = inputOf(db, { fence: 'trigger' });
  const order = { migration, input, floor: null, until: null, leaseMs: 200 };
  return steps.streamChanges(order, { ...recordedWork(), run });
};

test('the first lease of a run undoes it and gives the writes back; a later lease of that run leaves the gate alone', async () => {
  await using db = await freshPair();
  const forgotten = await sealed(db);
  const { migration } = forgotten;
  expect(await stateOf(db.sourceClient, WRITE)).toBe(REFUSED);
  await leaseOf(db, migration, 'second');
  expect(await outcomeIn(db, forgotten)).toBe('undone');
  expect(await stateOf(db.sourceClient, WRITE)).toBe('done');

  await using source = await connectSource(migration, 'cutover');
  const next = { cutover: cutoverId(migration, 'next'), milliseconds: 60_000 };
  await fence.arm(source, migration, next);
  await leaseOf(db, migration, 'second');
  expect(await fence.gate(source, migration)).toMatchObject({ state: 'armed' });
  await leaseOf(db, migration, 'third');
  expect(await fence.gate(source, migration)).toMatchObject({ state: 'open' });
  await steps.dropSlot({ migration, input: inputOf(db) }, recordedWork());
});

test('the first lease of a run that finds the outcome switched applies nothing, and the source stays sealed', async () => {
  await using db = await freshPair();
  const { migration } = await sealed(db, 'switched');
  await failure(leaseOf(db, migration, 'second'), 'AlreadySwitched');
  expect(await stateOf(db.sourceClient, WRITE)).toBe(REFUSED);
  await steps.dropSlot({ migration, input: inputOf(db) }, recordedWork());
});

test('an update that a reset has repeated is refused only after the writes are back', async () => {
  await using db = await freshPair();
  const forgotten = await sealed(db);
  const { migration } = forgotten;
  await noteCutoverCall(db.targetClient, migration, { update: 'asked', run: 'first' });
  const call = { update: 'asked', run: 'second' };
  const prepared = prepareBox(migration, inputOf(db), fence, call, recordedWork());
  await failure(prepared, 'CutoverRepeated');
  expect(await stateOf(db.sourceClient, WRITE)).toBe('done');
  expect(await outcomeIn(db, forgotten)).toBe('undone');
  await steps.dropSlot({ migration, input: inputOf(db) }, recordedWork());
});

test('the end of a migration undoes it and removes the fence, unless it has switched: then the fence stays, sealed', async () => {
  await using open = await freshPair();
  const undone = await sealed(open);
  expect(await removeSourceFence(undone.migration, fence, recordedWork())).toEqual({ left: [] });
  expect(await outcomeIn(open, undone)).toBe('undone');
  expect(await stateOf(open.sourceClient, WRITE)).toBe('done');
  await steps.dropSlot({ migration: undone.migration, input: inputOf(open) }, recordedWork());

  await using live = await freshPair();
  const { migration } = await sealed(live, 'switched');
  await failure(removeSourceFence(migration, fence, recordedWork()), 'AlreadySwitched');
  expect(await stateOf(live.sourceClient, WRITE)).toBe(REFUSED);
  await steps.dropSlot({ migration, input: inputOf(live) }, recordedWork());
});

test('triggers are not disabled on a target that switched while the step waited for its turn', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, DDL);
  await db.targetClient.query(
    /* sql */ `
    insert into walferry.disabled_trigger (migration, kind, schema_name, table_name, name, state, given_back, object, made)
    select $1, 'trigger', 'public', 't', 'noted', 'O', true, t.oid, true from pg_trigger t where t.tgname = 'noted'`,
    [migration.id],
  );
  await using releasing = await connectTo(db.target);
  await releasing.query('begin');
  await releasing.query(/* sql */ `select from walferry.migration where id = $1 for update`, [
    migration.id,
  ]);
  const disabling = steps.disableTriggers(
    { migration },
    { ...recordedWork(), scheduledAt: Date.now() },
  );
  await until('the step to wait for its turn', async () => {
    const { rows } = await db.targetClient.query(/* sql */ `
      select from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'walferry%'
         and datname = current_database()`);
    return rows.length > 0;
  });
  await decide(releasing, migration, cutoverId(migration, 'other'), 'switched');
  await releasing.query('commit');
  expect(await disabling).toBe(0);
  const { rows } = await db.targetClient.query(
    /* sql */ `select tgenabled as state from pg_trigger where tgname = 'noted'`,
  );
  expect(rows).toEqual([{ state: 'O' }]);
  await steps.dropSlot({ migration, input: inputOf(db) }, recordedWork());
});

test('a target whose fence cannot be removed at the end takes writes all the same, and what is left is reported', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, DDL);
  await closeBeforeRows(migration, recordedWork());
  await using application = await connectTo(db.target);
  expect(await stateOf(application, WRITE)).toBe(REFUSED);
  // A dump, for example: DROP TRIGGER would wait for it.
  await using reader = await connectTo(db.target);
  await reader.query(/* sql */ `begin; select from t`);
  const report = await steps.dropControl({ migration }, recordedWork());
  expect(await stateOf(application, WRITE)).toBe('done');
  expect(report.left).toEqual([expect.stringMatching(/^trigger ~walferry_fence.* of public\.t$/)]);
  await reader.query('rollback');
  await steps.dropSlot({ migration, input: inputOf(db) }, recordedWork());
});
