/** Takeover between the sessions of a step's attempts. */
import { expect, test } from 'vitest';
import { connectSource } from '../../../postgres/session/open.ts';
import { registered } from '../../support/control.ts';
import { freshPair } from '../../support/database.ts';

test('a takeover returns when the sessions of earlier attempts are gone; it spares later ones, which end the attempt, other steps and other migrations', async () => {
  await using db = await freshPair();
  const migration = await registered(db);
  const other = { ...migration, id: 'another-migration' };
  await using elsewhere = await connectSource(other, 'cleanup', { unregistered: 'any more' });
  await using step = await connectSource(migration, 'cutover');
  await using earlier = await connectSource(migration, 'cleanup');
  await using later = await connectSource(migration, 'cleanup');
  for (const one of [elsewhere, step, earlier]) await one.join();
  const { pid } = earlier;
  await later.takeOver();
  const { rowCount } = await db.sourceClient.query(
    /* sql */ `select from pg_stat_activity where pid = $1`,
    [pid],
  );
  expect(rowCount).toBe(0);
  await using newest = await connectSource(migration, 'cleanup');
  await newest.join();
  // It may have been frozen before it could be found: it must not go on beside its successor.
  await expect(later.takeOver()).rejects.toMatchObject({ code: 'Contention' });
  for (const one of [newest, elsewhere, step]) await one.query('select');
});
