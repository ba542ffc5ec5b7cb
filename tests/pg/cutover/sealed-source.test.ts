/** The look at the source after the switch: a seal that was lost in a failover is made again, whatever else the failover has taken. */
import { afterAll, expect, test } from 'vitest';
import { closeSteps } from '../../../activities/steps.ts';
import { cutoverId } from '../../../contract/cutover.ts';
import type { Lsn } from '../../../contract/lsn.ts';
import type { Migration } from '../../../contract/migration.ts';
import { lookAtSource } from '../../../postgres/cutover/sealed-source.ts';
import { replaceFunction } from '../../../postgres/fence/fence-body.ts';
import { openOld } from '../../../postgres/switchback/open-old.ts';
import { switchSides } from '../../../postgres/cutover/switch-sides.ts';
import { dropReverseSlot } from '../../../postgres/switchback/reverse-end.ts';
import { inputOf } from '../../support/control.ts';
import { freshPair, type FreshPair } from '../../support/database.ts';
import { testWork } from '../../support/stream.ts';
import { back, FENCE, sealed, switched, switchedAt } from '../../support/switching.ts';
import { stateOf } from '../fence/fenced.ts';

afterAll(() => closeSteps());

const DDL = /* sql */ `create table t (id int primary key)`;
const write = (db: FreshPair, id: number) =>
  stateOf(db.sourceClient, /* sql */ `insert into public.t values (${id})`);
const REFUSED = '25006';

const look = (db: FreshPair, migration: Migration, since: Lsn | null = null) =>
  lookAtSource(
    ...([migration, inputOf(db), FENCE, cutoverId(migration, 'there'), since, testWork()] as const),
  );

/** As a standby has it that has not received the seal. */
async function lose(db: FreshPair, migration: Migration, deadline: string): Promise<void> {
  await db.sourceClient.query(
    /* sql */ `update walferry_fence.gate set state = 'armed', deadline = $1::timestamptz`,
    [deadline],
  );
  await db.sourceClient.query(replaceFunction(migration, { state: 'armed', deadline }));
}

test.each([
  { when: 'has expired', deadline: '2020-01-01T00:00:00Z', before: 'done' },
  { when: 'has not expired', deadline: '2100-01-01T00:00:00Z', before: REFUSED },
])(
  'a source that has the fence of before the seal, which $when, is sealed again for good, and only the first look says so',
  async ({ deadline, before }) => {
    await using db = await freshPair();
    const migration = await switched(db, DDL);
    expect(await look(db, migration)).toMatchObject({ sealedAgain: false });
    await lose(db, migration, deadline);
    expect(await write(db, 1)).toBe(before);
    expect(await look(db, migration)).toMatchObject({ sealedAgain: true });
    expect(await write(db, 2)).toBe(REFUSED);
    const { rows } = await db.sourceClient.query(/* sql */ `select state from walferry_fence.gate`);
    expect(rows).toEqual([{ state: 'sealed' }]);
    await dropReverseSlot(migration);
  },
);

test('a source that has lost WAL with its seal is sealed again all the same, and that its writes were not looked for is said', async () => {
  await using db = await freshPair();
  const { migration, released } = await switchedAt(db, DDL);
  await lose(db, migration, '2020-01-01T00:00:00Z');
  await db.targetClient.query(/* sql */ `update walferry.migration set confirmed_lsn = 'FFFF/0'`);
  expect(await look(db, migration, released)).toMatchObject({
    ...{ sealedAgain: true, late: [] },
    unchecked: { code: 'SourceRewound' },
  });
  expect(await write(db, 1)).toBe(REFUSED);
  await dropReverseSlot(migration);
});

test('rows, and a table that an open transaction brings, are named after the switch: both are on the source only', async () => {
  await using db = await freshPair();
  const { migration } = await switchedAt(db, DDL);
  const { rows } = await db.sourceClient.query<{ lsn: Lsn }>(
    /* sql */ `select pg_current_wal_insert_lsn()::text as lsn`,
  );
  const since = rows[0]?.lsn ?? null;
  await db.sourceClient.query(/* sql */ `begin; create table public.late as select 1 as id`);
  expect((await look(db, migration, since)).late).toEqual([
    'a table that an open transaction creates, attaches or renames',
  ]);
  await db.sourceClient.query('commit');
  expect((await look(db, migration, since)).late).toContain('public.late');
  await dropReverseSlot(migration);
});

test('the old database is opened after a switch back although the new one no longer answers', async () => {
  await using db = await freshPair();
  const migration = await switched(db, DDL);
  const way = await back(db, migration);
  const cutover = cutoverId(migration, 'back');
  const order = await sealed(way, cutover);
  const nothing = () => Promise.resolve();
  await switchSides(way.migration, way.input, FENCE, order, nothing, testWork());
  expect(await write(db, 1)).toBe(REFUSED);
  await openOld({ ...migration, target: 'a_service_that_is_gone' }, FENCE, cutover, testWork());
  expect(await write(db, 1)).toBe('done');
  await dropReverseSlot(migration);
});
