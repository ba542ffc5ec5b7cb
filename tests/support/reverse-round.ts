/**
 * One round of the proof that the way back starts exactly at the release, with the product's own steps and a release transaction of
 * the test: writers of the old database until the fence, the stream up to its end, the plan, the release, and writers on the new
 * database that wait for it, so that their first commits follow at once. Short in a test, long from `npm run prove`.
 */
import type pg from 'pg';
import { parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { reverseOf } from '../../contract/reversed.ts';
import { closeWayBack, dropReverseSlot } from '../../postgres/switchback/reverse-end.ts';
import { planReverse } from '../../postgres/switchback/reverse-plan.ts';
import { advanceReverseSlot, openWayBack } from '../../postgres/switchback/reverse-slot.ts';
import { startReverse } from '../../postgres/switchback/reverse-start.ts';
import { streamReverse } from '../../postgres/switchback/reverse-stream.ts';
import type { StreamOptions } from '../../postgres/stream/stream-options.ts';
import { connectTo, freshPair, type FreshPair } from './database.ts';
import { expectEqual } from './equality.ts';
import { drain, endMark, OPTIONS, startMigration, testWork } from './stream.ts';

/** What is not selected: the writers' signal, and what they noted about themselves. */
export const NOT_SELECTED = ['public.opened'];

/** Two tables with a key, one without, and the signal. */
const TABLES = /* sql */ `
  create table d (id text primary key, who text not null, n int not null default 0);
  create table parts (id text, k int not null, who text, primary key (id, k)) partition by list (k);
  create table parts_0 partition of parts for values in (0); create table parts_1 partition of parts for values in (1);
  create table log (id text, who text); alter table log replica identity full;
  create table opened (open bool primary key)`;

export interface Round {
  /** Commits of the application on the new database. */
  readonly commits: number;
  /** Milliseconds between the release and the first of them. */
  readonly firstMs: number;
}

/** The release of a cutover: its message in one transaction with what opens the new database. @returns the message's end. */
export async function release(
  db: FreshPair,
  migration: Migration,
  open = 'insert into opened values (true)',
): Promise<Lsn> {
  const client = db.targetClient;
  await client.query('begin');
  const { rows } = await client.query<{ lsn: string }>(
    /* sql */ `select pg_logical_emit_message(true, $1, 'release')::text as lsn`,
    [`walferry-${migration.id}`],
  );
  await client.query(open);
  await client.query('commit');
  return parseLsn(rows[0]?.lsn ?? '');
}

/** Streams back until everything that was committed on the new database is on the old one. */
export async function drainBack(
  db: FreshPair,
  migration: Migration,
  options: Partial<StreamOptions> = {},
): Promise<void> {
  const { rows } = await db.targetClient.query<{ lsn: string }>(
    /* sql */ `select pg_logical_emit_message(true, 'walferry', 'end')::text as lsn`,
  );
  const until = parseLsn(rows[0]?.lsn ?? '');
  for (;;) {
    const lease = { ...OPTIONS, exclude: NOT_SELECTED, ...options, until };
    if ((await streamReverse(migration, lease, testWork())).reached) return;
  }
}

/** Both databases hold the same rows of the selected tables. */
export async function expectAlike(db: FreshPair): Promise<void> {
  await using old = await connectTo(db.source);
  await using fresh = await connectTo(db.target);
  // Only the new database was opened.
  await old.query('insert into opened values (true) on conflict do nothing');
  await expectEqual(old, fresh);
}

/** @throws when a row of the application is missing on the old database, is there twice, or one of ours was applied again. */
export async function reverseRound({ writers = 3, each = 8 } = {}): Promise<Round> {
  await using db = await freshPair();
  const selection = { include: ['*.*'], exclude: NOT_SELECTED };
  const migration = await startMigration(db, TABLES, selection);
  await openWayBack(migration, testWork());
  const first = await advanceReverseSlot(migration, null, testWork());
  // Ours: applied by the stream, some of it after the slot was advanced.
  await write(db.sourceClient, 'old 1', 3);
  await drain(db, migration, { exclude: NOT_SELECTED });
  await advanceReverseSlot(migration, first, testWork());
  await write(db.sourceClient, 'old 2', 3);
  await endMark(db);
  await drain(db, migration, { exclude: NOT_SELECTED });
  await planReverse(migration, { tables: { ...selection, viaPartitionRoot: [] } }, testWork());
  const application = Array.from({ length: writers }, (_, at) => waiter(db, `new ${at}`, each));
  await Promise.all(application.map(({ ready }) => ready));
  const released = await release(db, migration);
  const at = performance.now();
  await startReverse(migration, released, testWork());
  const firsts = await Promise.all(application.map(({ done }) => done));
  await drainBack(db, migration);
  await expectAlike(db);
  await dropReverseSlot(migration);
  await closeWayBack(migration, testWork());
  return { commits: writers * each, firstMs: Math.max(0, Math.min(...firsts) - at) };
}

/** A session that tries to write from before the release on, as a pool that reconnects does. */
function waiter(
  { target }: FreshPair,
  who: string,
  each: number,
): { readonly ready: Promise<void>; readonly done: Promise<number> } {
  let begun: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => (begun = resolve));
  const run = async (): Promise<number> => {
    await using client = await connectTo(target);
    for (let tries = 0; ; tries += 1) {
      const { rowCount } = await client.query(
        /* sql */ `insert into d (id, who) select $1, 'first' where exists (select from opened)`,
        [`${who} first`],
      );
      if (tries === 0) begun();
      if (rowCount === 1) break;
    }
    const first = performance.now();
    await write(client, who, each);
    return first;
  };
  return { ready, done: run() };
}

/** Commits of one session: inserts, updates of its own and of earlier rows, deletes, a rolled back subtransaction. */
async function write(client: pg.Client, who: string, commits: number): Promise<void> {
  for (let at = 0; at < commits; at += 1) {
    const id = `${who} ${at}`;
    await client.query('begin');
    await client.query(/* sql */ `insert into d (id, who) values ($1, $2), ($1 || ' gone', $2)`, [
      id,
      who,
    ]);
    await client.query('savepoint s');
    await client.query(/* sql */ `insert into d (id, who) values ($1 || ' never', $2)`, [id, who]);
    await client.query('rollback to s');
    await client.query(/* sql */ `insert into parts (id, k, who) values ($1, $2, $3)`, [
      id,
      at % 2,
      who,
    ]);
    await client.query(/* sql */ `insert into log values ($1, $2), ($1, $2)`, [id, who]);
    await client.query(
      /* sql */ `update d set n = n + 1 where id = (select id from d where id like 'old%' order by random() limit 1)`,
    );
    await client.query(/* sql */ `update parts set k = 1 - k where id = $1`, [id]);
    await client.query(/* sql */ `delete from d where id = $1 || ' gone'`, [id]);
    await client.query('commit');
  }
}

/** Position of the slot of the way back. */
export async function reverseSlot(
  db: FreshPair,
  migration: Migration,
): Promise<{ readonly confirmed: Lsn; readonly active: number | null } | null> {
  const { rows } = await db.targetClient.query<{ confirmed: string; active: number | null }>(
    /* sql */ `select confirmed_flush_lsn::text as confirmed, active_pid as active
                 from pg_replication_slots where slot_name = $1`,
    [reverseOf(migration).slot],
  );
  const [row] = rows;
  return row ? { confirmed: parseLsn(row.confirmed), active: row.active } : null;
}
