/**
 * The proof that no one writes any more. It notes who writes and looks again until all of those have ended: no lock is requested, so
 * no one queues behind us and nothing deadlocks. Whoever comes later sees the armed function.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import type { ProofReport } from '../../contract/fence.ts';
import type { Work } from '../../contract/work.ts';
import { endBackends } from '../connection/backends.ts';
import { isEntered } from '../catalog/uncommitted-table.ts';
import { literalSchemas, type Selection } from '../catalog/selection.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import type { Proving } from './fence-contract.ts';
import { nameWriters, readWriters, type Writer } from './writer.ts';

/** Most writers end within milliseconds; each look reads all locks of the server. */
const FIRST_LOOK_MS = 2;
const LONGEST_PAUSE_MS = 25;
/** What a transaction gets to end by itself before its session is ended. */
const GRACE_MS = 500;

/**
 * @param oids of the fenced tables.
 * @throws MigrationError `WriterRemains`; `signal.reason` when aborted.
 */
export async function untilNoOneWrites(
  client: pg.ClientBase,
  oids: readonly number[],
  { signal, beat }: Pick<Work, 'signal' | 'beat'>,
  { withinMs, endSessions }: Proving,
): Promise<ProofReport> {
  const began = performance.now();
  const waited = () => performance.now() - began;
  const noted = await readWriters(client, oids);
  const ids = new Set(noted.map(({ id }) => id));
  let left = noted;
  let ended = 0;
  let hasEnded = !endSessions;
  for (let pause = FIRST_LOOK_MS; left.length > 0; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    if (waited() >= withinMs) throw await remaining(client, left, withinMs, ended);
    beat({ step: 'waiting for writers', writers: left.length });
    if (!hasEnded && waited() >= Math.min(GRACE_MS, withinMs / 2)) {
      hasEnded = true;
      ended = await endWriters(client, left);
    }
    await sleep(pause);
    // Also prepared ones that were not noted: before 14 a noted transaction that is prepared has another id. One that began to write
    // after the fence was armed was refused, so none of these is new.
    left = (await readWriters(client, oids)).filter(({ id, pid }) => ids.has(id) || pid === null);
  }
  return { holders: noted.length, ended, waitedMs: Math.round(waited()) };
}

/** It reads whole catalogs. */
const CATALOG_PAUSE_MS = 100;

/**
 * Returns when no transaction is open that may bring a table into the selection: its rows would be written past the fence, which is
 * on no table that others cannot see yet. The tables that have to have the fence are to be read after it.
 * @param oids of the fenced tables.
 * @throws MigrationError `WriterRemains`; `signal.reason` when aborted.
 */
export async function untilNoTableEnters(
  client: pg.ClientBase,
  oids: readonly number[],
  selection: Selection,
  { signal, beat }: Pick<Work, 'signal' | 'beat'>,
  { withinMs }: Pick<Proving, 'withinMs'>,
): Promise<void> {
  const began = performance.now();
  const schemas = literalSchemas(selection);
  while (await isEntered(client, oids, schemas)) {
    signal.throwIfAborted();
    if (performance.now() - began >= withinMs) {
      throw new MigrationError(
        'WriterRemains',
        `an open or prepared transaction creates, attaches, renames or moves a table that may be selected, and did not end within ${withinMs / 1000} s: no fence binds it. End it, or wait for its end; pg_locks shows it with an AccessExclusiveLock`,
      );
    }
    beat({ step: 'waiting for a table that is being created' });
    await sleep(CATALOG_PAUSE_MS);
  }
}

/** What the proof has left of its time. */
export const left = ({ withinMs }: Proving, { waitedMs }: ProofReport) => ({
  withinMs: Math.max(0, withinMs - waitedMs),
});

/** Ends sessions, one by one: the right may be missing for some. Prepared transactions are a promise to somebody: never ended. */
async function endWriters(client: pg.ClientBase, writers: readonly Writer[]): Promise<number> {
  let ended = 0;
  for (const { id, pid } of writers) {
    if (pid === null) continue;
    // The transaction as well, because its session may be in another one by now.
    const pids = /* sql */ `select distinct l.pid from pg_catalog.pg_locks l where l.pid = $1 and l.virtualtransaction = $2`;
    try {
      ended += (await endBackends(client, { pids, values: [pid, id] })).length;
    } catch (error) {
      // Without the right (a superuser's session, another role's) it is named when the time is over.
      if (sqlstate(error) !== SQLSTATE.insufficientPrivilege) throw error;
    }
  }
  return ended;
}

async function remaining(
  client: pg.ClientBase,
  left: readonly Writer[],
  withinMs: number,
  ended: number,
): Promise<MigrationError> {
  return new MigrationError(
    'WriterRemains',
    `${left.length === 1 ? 'a transaction that writes' : `${left.length} transactions that write`} to selected tables did not end within ${withinMs / 1000} s: ${await nameWriters(client, left)}${ended === 0 ? '' : `; sessions that were ended: ${ended}`}`,
    { pids: left.flatMap(({ pid }) => (pid === null ? [] : [pid])) },
  );
}
