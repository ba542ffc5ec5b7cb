/** A service of one worker that points elsewhere: a stale service file, a clone, a DNS name that moved. */
import { expect, test } from 'vitest';
import type { Migration } from '../../../contract/migration.ts';
import { steps } from '../../../activities/steps.ts';
import { NonFiniteNumbers } from '../../../postgres/apply/non-finite.ts';
import { connectSide, connectSource } from '../../../postgres/session/open.ts';
import { readIdentity } from '../../../postgres/identity/identity.ts';
import { ReplicationReader } from '../../../postgres/replication/reader.ts';
import { readListing } from '../../../postgres/dump/definition-listing.ts';
import { createSlot } from '../../../postgres/slot/create-slot.ts';
import { pluginOptions } from '../../../postgres/wal2json/plugin-options.ts';
import { AMBIGUOUS } from '../../support/ambiguous.ts';
import { inputOf, recordedWork, registered } from '../../support/control.ts';
import { parseLsn } from '../../../contract/lsn.ts';
import { streamChanges } from '../../support/lease.ts';
import { LOOPBACK } from '../../../scripts/local/cluster/port.ts';
import { until } from '../../support/until.ts';
import { addService, freshPair, sourceServer, type FreshPair } from '../../support/database.ts';
import {
  drain,
  OPTIONS,
  startMigration,
  storedLsn,
  testWork,
  untilStreaming,
} from '../../support/stream.ts';
import { failure } from '../schema/schema-fidelity.ts';
import type { StoredEntry } from '../../../postgres/store/schema-entry.ts';

const TABLE = /* sql */ `create table t (id int primary key, v numeric); create sequence s`;

/** Every step that a worker runs, by the name of its activity. */
async function run(step: string, db: FreshPair, migration: Migration): Promise<unknown> {
  const [both, work] = [{ migration, input: inputOf(db) }, recordedWork()];
  const all: Record<string, () => Promise<unknown>> = {
    copySchema: () => steps.copySchema(both, work),
    createSlot: () => steps.createSlot(both, work),
    holdSnapshot: () => steps.holdSnapshot(both, work),
    planCopy: () => steps.planCopy(both, work),
    copyChunks: () => steps.copyChunks({ migration, pass: 1, run: RUN }, work),
    buildIndexes: () => steps.buildIndexes(both, work),
    buildConstraints: () => steps.buildConstraints(both, work),
    refreshViews: () => steps.refreshViews({ ...both, at: null }, work),
    streamChanges: () => steps.streamChanges({ ...both, ...OPTIONS, leaseMs: 1_000 }, work),
    fenceStream: () => steps.fenceStream(both),
    writeEndMark: () => steps.writeEndMark(both, work),
    setSequences: () => steps.setSequences(both, work),
    compareCounts: () => steps.compareCounts(both, work),
    laterChanges: async () =>
      steps.laterChanges({ ...both, since: await storedLsn(db, migration) }, work),
    enableTriggers: () => steps.enableTriggers(both, work),
    disableTriggers: () => steps.disableTriggers(both, work),
    dropSlot: () => steps.dropSlot(both, work),
    undoSchema: () => steps.undoSchema(both, work),
    dropControl: () => steps.dropControl(both, work),
  };
  return all[step]?.();
}
const RUN = { id: 'g1-1', label: 't', firstChunk: 1, lastChunk: 1 };

const READS_SOURCE = [
  ...['createSlot', 'holdSnapshot', 'planCopy', 'copyChunks', 'streamChanges', 'writeEndMark'],
  ...['setSequences', 'compareCounts', 'laterChanges', 'dropSlot'],
];
const WRITES_TARGET = [
  ...['createSlot', 'holdSnapshot', 'planCopy', 'copyChunks', 'buildIndexes', 'buildConstraints'],
  ...['refreshViews', 'streamChanges', 'fenceStream', 'setSequences', 'compareCounts'],
  ...['enableTriggers', 'disableTriggers', 'copySchema', 'undoSchema', 'dropControl'],
];

test('a step whose source is another server, or another database of the same server, is refused before it reads or writes', async () => {
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.targetClient.query(
    /* sql */ `update walferry.relation set state = 'resync', reason = 'changed'`,
  );
  for (const stale of [other.source, db.target]) {
    for (const step of READS_SOURCE) {
      const { message } = await failure(
        run(step, db, { ...migration, source: stale }),
        'WrongServer',
      ).catch((error: unknown) => {
        throw new Error(`${step} on ${stale}`, { cause: error });
      });
      expect(message).toContain(`"${stale}"`);
    }
  }
});

test('a step whose target is a copy of the database including the control rows is refused', async () => {
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await startMigration(db, TABLE);
  await copyControl(db, other);
  for (const step of WRITES_TARGET) {
    await failure(run(step, db, { ...migration, target: other.target }), 'WrongServer').catch(
      (error: unknown) => {
        throw new Error(step, { cause: error });
      },
    );
  }
  const { rows } = await other.targetClient.query<{ epoch: string }>(
    /* sql */ `select epoch::text from walferry.migration`,
  );
  expect(rows).toEqual([{ epoch: '0' }]);
});

test('the walsender, the read-back of values, lists of broken rows and copy streams verify the server, too', async () => {
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await startMigration(db, TABLE);
  const stale = { ...migration, source: other.source };
  await failure(
    ReplicationReader.open({
      service: other.source,
      server: await readIdentity(db.sourceClient, db.source),
      slot: migration.slot,
      start: await storedLsn(db, migration),
      plugin: pluginOptions({ schemas: null, numericAsText: false }),
    }),
    'WrongServer',
  );
  const entry: StoredEntry = {
    ...{ id: 1, phase: 'indexes', kind: 'INDEX', schema: 'public', name: 't_pkey', sql: '' },
    ...{ depends: [], tables: [], refresh: false, refreshState: null, added: null, done: false },
  };
  await failure(readListing(stale, entry), 'WrongServer');
  const { signal } = recordedWork();
  await failure(connectSource(stale, 'cutover', { signal }), 'WrongServer');
  await failure(new NonFiniteNumbers(stale).settle([AMBIGUOUS]), 'WrongServer');
});

test('a target without the control schema of a migration that was seen elsewhere is the wrong server, not a lost one', async () => {
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await startMigration(db, TABLE);
  await (await connectSide('target', migration, 'plan')).end();
  await failure(
    steps.fenceStream({ migration: { ...migration, target: other.target } }),
    'WrongServer',
  );
});

test('a target behind the slot, such as an older copy of its disk, is neither counted nor given sequences', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `insert into t values (1, 1)`);
  const until = await steps.writeEndMark({ migration }, recordedWork());
  await steps.streamChanges({ migration, input: inputOf(db), ...OPTIONS, until }, recordedWork());
  await db.targetClient.query(
    /* sql */ `update walferry.migration set confirmed_lsn = consistent_lsn`,
  );
  await failure(run('compareCounts', db, migration), 'CheckpointMissing');
  await failure(run('setSequences', db, migration), 'CheckpointMissing');
});

test('a migration that is registered on another target after a cleanup is not tied to the old one', async () => {
  await using db = await freshPair();
  await using other = await freshPair();
  const migration = await registered(db);
  await createSlot(migration, recordedWork());
  await steps.dropSlot({ migration, input: inputOf(db) }, recordedWork());
  await steps.dropControl({ migration }, recordedWork());
  const moved = { ...migration, target: other.target };
  await db.sourceClient.query(/* sql */ `create table t (id int primary key)`);
  const input = inputOf({ ...db, target: other.target });
  await steps.copySchema({ migration: moved, input }, recordedWork());
  await createSlot(moved, recordedWork());
});

/** The control schema as a logical copy of the target would have it. */
async function copyControl(from: FreshPair, to: FreshPair): Promise<void> {
  await to.targetClient.query(TABLE);
  await startMigration(to, 'create table own ()').catch(() => undefined);
  const tables = ['migration', 'side', 'relation', 'exported_snapshot'];
  for (const table of tables.toReversed()) {
    await to.targetClient.query(`delete from walferry.${table}`);
  }
  for (const table of tables) {
    const { rows } = await from.targetClient.query<{ row: unknown }>(
      `select to_jsonb(t) as row from walferry.${table} t`,
    );
    for (const { row } of rows) {
      await to.targetClient.query(
        `insert into walferry.${table} select * from jsonb_populate_record(null::walferry.${table}, $1)`,
        [JSON.stringify(row)],
      );
    }
  }
}

test('a source database that is renamed while streaming is missing until the service names it, and then the stream continues with its slot', async () => {
  await using db = await freshPair();
  const migration = await startMigration(db, TABLE);
  await db.sourceClient.query(/* sql */ `insert into t values (1, 1)`);
  await drain(db, migration);
  const streaming = streamChanges(migration, OPTIONS, testWork()).catch(() => undefined);
  await untilStreaming(db, migration);
  await db.sourceClient.query(/* sql */ `insert into t values (2, 2)`);
  const renamed = `${db.source}_renamed`;
  const rename = (from: string, to: string) =>
    sourceServer().query('postgres', async (client) => {
      const others = /* sql */ `select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1`;
      await until('the rename', async () => {
        await client.query(others, [from]);
        return client.query(`alter database ${from} rename to ${to}`).then(
          () => true,
          () => false,
        );
      });
    });
  await rename(db.source, renamed);
  try {
    await streaming;
    const missing = await failure(streamChanges(migration, OPTIONS, testWork()), 'InvalidService');
    expect(missing.message).toContain('the server has no such database');
    const { port } = sourceServer();
    addService(renamed, {
      ...{ host: LOOPBACK, port: String(port), dbname: renamed },
      user: sourceServer().spec.role,
    });
    await sourceServer().query(renamed, (client) =>
      client.query(/* sql */ `insert into t values (3, 3)`),
    );
    // The operator does this by correcting the service's line.
    const corrected = { ...migration, source: renamed };
    const end = await sourceServer().query(renamed, async (client) => {
      const { rows } = await client.query<{ lsn: string }>(
        /* sql */ `select pg_logical_emit_message(true, 'walferry', 'end')::text as lsn`,
      );
      return parseLsn(rows[0]?.lsn ?? '');
    });
    await streamChanges(corrected, { ...OPTIONS, until: end }, testWork());
  } finally {
    await rename(renamed, db.source);
  }
  const { rows } = await db.targetClient.query(/* sql */ `select id from t order by id`);
  expect(rows).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
});
