/** A stream that makes no progress although its process runs and its source sends: an answer that never arrives. */
import { expect, test } from 'vitest';
import { freshPair, sourceServer, targetServer } from '../../support/database.ts';
import { streamChanges } from '../../support/lease.ts';
import { observed } from '../../support/observed.ts';
import {
  drain,
  expectSame,
  OPTIONS,
  startMigration,
  testWork,
  untilStreaming,
} from '../../support/stream.ts';
import { until } from '../../support/until.ts';
import { wireTo } from '../../support/wire.ts';

const TABLE = /* sql */ `create table t (id bigint primary key, n int); insert into t values (1, 0)`;
/** In production the timeout is a minute. */
const LIMITS = { stuckMs: 3_000 };

test.concurrent.each(['target', 'source'] as const)(
  'an answer of the %s that never arrives ends the attempt, and the next one continues from the target’s position',
  async (side) => {
    await using db = await freshPair();
    const server = side === 'target' ? targetServer() : sourceServer();
    await using wire = await wireTo(server, db[side]);
    const migration = { ...(await startMigration(db, TABLE)), [side]: wire.service };
    const work = testWork();
    const lease = observed(streamChanges(migration, { ...OPTIONS, limits: LIMITS }, work));
    await untilStreaming(db, migration);
    await db.sourceClient.query(/* sql */ `update t set n = 1`);
    await until('the row', async () => {
      const { rowCount } = await db.targetClient.query(/* sql */ `select from t where n = 1`);
      return rowCount === 1;
    });
    // Not the stream itself: it keeps receiving, keepalives included.
    const which = side === 'target' ? /walferry apply/ : /^(?!.*\0replication\0).*walferry stream/s;
    expect(wire.mute(which)).toBe(1);
    await db.sourceClient.query(/* sql */ `update t set n = 2`);
    await expect(lease).rejects.toMatchObject({
      ...{ code: 'Stalled', details: { slot: migration.slot } },
      message: expect.stringMatching(/^the stream makes no progress: no answer for \d s/) as string,
    });
    // Temporal gets no more heartbeats.
    const beats = work.beats.length;
    expect(await drain(db, migration)).toMatchObject({ transactions: 2, changes: 2 });
    expect(work.beats.length).toBe(beats);
    await expectSame(db);
  },
);

test.concurrent(
  'a change that takes longer to arrive than an answer may take does not count as a stuck stream, and sends heartbeats',
  async () => {
    await using db = await freshPair();
    await using wire = await wireTo(sourceServer(), db.source);
    const table = /* sql */ `create table t (id int primary key, v text); alter table t alter v set storage external`;
    const migration = { ...(await startMigration(db, table)), source: wire.service };
    const work = testWork();
    const lease = streamChanges(migration, { ...OPTIONS, limits: LIMITS }, work);
    await untilStreaming(db, migration);
    wire.slow(500_000);
    const beats = work.beats.length;
    await db.sourceClient.query(/* sql */ `insert into t values (1, repeat('x', 2500000))`);
    const arrived = async (): Promise<boolean> =>
      (await db.targetClient.query(/* sql */ `select from t`)).rowCount === 1;
    await until('the row', arrived, { seconds: 20 });
    // At least every two seconds: the worker's heartbeat timeout is 10 s.
    expect(work.beats.length - beats).toBeGreaterThan(2);
    wire.slow(Infinity);
    work.abort();
    await lease;
  },
);
