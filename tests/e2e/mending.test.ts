/** Rows that break a unique index: the migration streams on without it, and builds it when the rows were mended on the source. */
import { expect, test } from 'vitest';
import { connectTo } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

test('a unique index that copied rows break waits for rows mended on the source, which the stream brings before the next try', async () => {
  await using lab = await Lab.open(`${LOAD_TABLES}
    create table mail (id int primary key, address text);
    create unique index mail_once on mail (address);
    insert into mail select i, 'a' || i from generate_series(1, 100) i`);
  await lab.worker();
  lab.load();
  // The slot waits for this transaction, so that the schema is read before it and the snapshot is taken behind it.
  await using application = await connectTo(lab.pair.source);
  await application.query('begin');
  await application.query('update item set price = price where id = 1');
  await lab.start({ stream: { leaseSeconds: 3600 } });
  await until(
    'the schema on the target',
    async () =>
      (await lab.onTarget(`select 1 from walferry.schema_entry where name = 'mail_once'`)).length >
      0,
    { seconds: 60 },
  );
  await application.query(`drop index mail_once; insert into mail values (101, 'a1'); commit`);
  const { waiting } = await lab.waiting();
  expect(waiting).toMatchObject({ step: 'constraints', code: 'ConstraintFailed' });
  expect(waiting?.reason).toContain('mail_once');
  // Without the index the rows have arrived, all of them.
  expect(await lab.onTarget(`select 1 from mail where address = 'a1'`)).toHaveLength(2);

  await lab.onSource(`delete from mail where id = 101`);
  expect((await lab.update('resume')).code).toBe(0);
  await until(
    'the index',
    async () => {
      const { state, waiting: again } = await lab.progress();
      if (state === 'waiting') expect.fail(`waits again: ${again?.reason}`);
      const found = await lab.onTarget(`select 1 from pg_indexes where indexname = 'mail_once'`);
      return found.length === 1;
    },
    { seconds: 60 },
  );
  await lab.finish();
});
