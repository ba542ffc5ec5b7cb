/** Only tables whose copy under one snapshot cannot finish start over under the next one. */
import { expect, test } from 'vitest';
import { BIG, snapshotOf, marks, stalled } from '../support/copying.ts';
import { BY_DEFAULT, Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

test('a lost snapshot costs only the tables that were not finished', async () => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start({ ...BY_DEFAULT, copy: { parallelism: 4, chunkMegabytes: 8 } });
  const lock = await stalled(lab);
  await until('the other tables to be copied', async () => {
    const now = await marks(lab);
    return now !== null && now.done === now.total;
  });
  // The waiting copy has imported the snapshot and would survive its owner: both must end.
  await lab.onSource(/* sql */ `select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ 'walferry'
      and datname = current_database() and pid <> pg_backend_pid()`);
  await until('the next exported snapshot', async () => {
    const rows = await lab.onTarget(
      /* sql */ `select 1 from walferry.exported_snapshot where number > 1`,
    );
    return rows.length > 0;
  });
  await lock.release();
  await lab.phase('stream');
  expect(await snapshotOf(lab, 'big')).toBe(1);
  expect(await snapshotOf(lab, 'stall')).toBeGreaterThan(1);
  await lab.finish();
});

test.each([
  [
    'truncated and filled again',
    'truncate stall; insert into stall select i, -i from generate_series(1, 300) i',
  ],
  ['rewritten', 'cluster stall using stall_pkey; update stall set v = v + 1 where id < 50'],
])('a table that is %s during its copy starts over, and arrives complete', async (_, sql) => {
  await using lab = await Lab.open(LOAD_TABLES + BIG);
  await lab.worker();
  lab.load();
  await lab.start({ ...BY_DEFAULT, copy: { parallelism: 4, chunkMegabytes: 8 } });
  const lock = await stalled(lab);
  await lock.sql(sql);
  await lock.release();
  await lab.phase('stream');
  expect(await snapshotOf(lab, 'stall')).toBeGreaterThan(1);
  expect(await snapshotOf(lab, 'big')).toBe(1);
  await lab.finish();
});
