/** A table that is altered without end while its changes are applied: the stream reports it, and ends when asked to. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { streamChanges } from '../../support/lease.ts';
import { connectTo, freshPair, type FreshPair } from '../../support/database.ts';
import { observed } from '../../support/observed.ts';
import {
  drain,
  endMark,
  expectSame,
  OPTIONS,
  slotState,
  startMigration,
  storedLsn,
  testWork,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';

const TABLE = /* sql */ `create table busy (id int primary key, v text)`;

/** Alters the column's catalog row, without a lock that others wait for, several times while any lease starts. */
async function alterWithoutEnd(db: FreshPair): Promise<AsyncDisposable> {
  const client = await connectTo(db.source);
  const ended = new AbortController();
  const altering = (async (): Promise<void> => {
    for (let n = 0; !ended.signal.aborted; n = (n + 1) % 1000) {
      await client.query(`alter table busy alter v set statistics ${n}`);
      await sleep(2);
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await altering;
      await client[Symbol.asyncDispose]();
    },
  };
}

test('a table altered faster than its changes can be applied ends the lease with its name; when that stops, nothing is lost', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const before = await storedLsn(db, migration);
  await db.sourceClient.query(/* sql */ `insert into busy values (1, 'x')`);
  const end = await endMark(db);
  {
    await using _ = await alterWithoutEnd(db);
    const lease = observed(streamChanges(migration, { ...OPTIONS, until: end }, testWork()));
    await expect(lease).rejects.toMatchObject({
      code: 'Contention',
      details: { table: 'public.busy', lsn: before },
    });
    await expect(lease).rejects.toThrow(
      /^DDL on the source alters public\.busy faster than its changes can be applied.*look for a job/,
    );
  }
  expect(await storedLsn(db, migration)).toBe(before);
  await drain(db, migration);
  await expectSame(db);
});

test('DDL between batches that do arrive never adds up to a refusal', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const work = testWork();
  const lease = streamChanges(migration, { ...OPTIONS, batchMilliseconds: 10 }, work);
  for (let n = 1; n <= 12; n += 1) {
    await db.sourceClient.query(`alter table busy alter v set statistics ${n}`);
    await db.sourceClient.query(/* sql */ `insert into busy values ($1, 'x')`, [n]);
    await until(`row ${n}`, async () => {
      const { rowCount } = await db.targetClient.query(`select from busy where id = ${n}`);
      return rowCount === 1;
    });
  }
  work.abort();
  expect(await lease).toMatchObject({ transactions: 12 });
});

test('an abort between two starts of a lease returns the position of the target', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  const before = await storedLsn(db, migration);
  await db.sourceClient.query(/* sql */ `insert into busy values (1, 'x')`);
  await using _ = await alterWithoutEnd(db);
  const work = testWork();
  let begun = 0;
  const counting = {
    ...work,
    log: {
      ...work.log,
      info: (message: string) => {
        if (message === 'stream started') begun += 1;
      },
    },
  };
  const lease = streamChanges(migration, OPTIONS, counting);
  await until(
    'the pause after the fourth beginning',
    async () => begun === 4 && (await slotState(db, migration)).active === null,
    { everyMilliseconds: 5 },
  );
  work.abort();
  expect(await lease).toMatchObject({ confirmedLsn: before, changes: 0, reached: false });
  expect(begun).toBe(4);
});
