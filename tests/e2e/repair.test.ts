/**
 * Rows that violate a unique index: the index is built once the stream has applied the fix made on the source.
 */
import { expect, test } from 'vitest';
import { BIG, SLOW } from '../support/copying.ts';
import { connectTo } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { Hopeless, until } from '../support/until.ts';

test('a unique index that copied rows violate waits for rows fixed on the source, which the stream applies before the next attempt', async () => {
  await using lab = await Lab.open(`${LOAD_TABLES} ${BIG}
    create table mail (id int primary key, address text);
    create unique index mail_once on mail (address);
    insert into mail select i, 'a' || i from generate_series(1, 100) i`);
  await lab.worker();
  lab.load();
  // The slot waits for this transaction, so the schema is read before it and the snapshot is taken after it.
  await using application = await connectTo(lab.pair.source);
  await application.query('begin');
  await application.query('update item set price = price where id = 1');
  await lab.start({ ...SLOW, stream: { leaseSeconds: 3600 } });
  const onTarget = async (query: string) => (await lab.onTarget(query)).length > 0;
  await until('the schema on the target', () =>
    onTarget(`select 1 from walferry.schema_entry where name = 'mail_once'`),
  );
  await application.query(`drop index mail_once; insert into mail values (101, 'a1'); commit`);
  await until('the snapshot', () => onTarget(`select 1 from walferry.exported_snapshot`));
  await application.query(
    `begin; delete from mail where id = 101; create unique index mail_once on mail (address); commit`,
  );
  const { waiting } = await lab.waiting();
  expect(waiting).toMatchObject({ step: 'constraints', code: 'ConstraintFailed' });
  expect(waiting?.reason).toContain('mail_once');
  expect((await lab.update('resume')).code).toBe(0);
  await until('the index', async () => {
    const { state, waiting: again } = await lab.progress();
    if (state === 'waiting') throw new Hopeless(`waits again: ${again?.reason}`);
    return onTarget(`select 1 from pg_indexes where indexname = 'mail_once'`);
  });
  await lab.finish();
});
