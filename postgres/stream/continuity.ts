/**
 * Checks that the source's history is the one that the target has applied. A slot behind the stored LSN either lost its latest
 * confirmed LSN in a crash or restart, which is harmless, or its disk was restored to an earlier state. LSNs cannot distinguish
 * the two once the application has written beyond the old ones. So the last commit that the target has is looked up on the source
 * and compared by LSN, transaction id and commit time.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { compareLsn, parseLsn, type Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import { slotPosition } from '../session/open.ts';
import { pluginOptions } from '../wal2json/plugin-options.ts';
import { startFailure } from '../replication/stream-failure.ts';
import { readLastCommit, type StoredCommit } from '../store/confirmed-position.ts';

interface Found {
  lsn: string;
  xid: string;
  same_time: boolean | null;
}

/** The last commit in the slot's stream before the stored LSN. No schema has the selected name, so no rows are decoded. */
const LAST_COMMIT = /* sql */ `
with message as materialized (
  select m.xid::text as xid, m.data::json as data
    from pg_catalog.pg_logical_slot_peek_changes($1, $2::pg_lsn, null, variadic $3::text[]) m)
select data ->> 'nextlsn' as lsn, xid, (data ->> 'timestamp')::timestamptz = $4::timestamptz as same_time
  from message
 where data ->> 'action' = 'C' and (data ->> 'lsn')::pg_lsn < $2::pg_lsn
 order by (data ->> 'lsn')::pg_lsn desc limit 1`;
/** The schema that the plugin selects: the prefix is reserved, so it does not exist. */
const NO_SCHEMA = ['pg_walferry'];

/**
 * Refuses a source that lacks what the target has applied. Reads the WAL between the slot's position and the target's, which is
 * little except after a crash. The slot must be free.
 * @param source a session on the source; @param target one on the target, both without an open transaction.
 * @param watched runs a query that may take long, and sends heartbeats while the source works.
 * @throws MigrationError `SourceRewound`; `SlotBusy`, `SlotMissing`, `PluginRefused` for the slot.
 */
export async function proveContinuity(
  source: pg.ClientBase,
  target: pg.ClientBase,
  migration: Migration,
  watched: <T>(ask: () => Promise<T>) => Promise<T>,
): Promise<void> {
  const slot = await slotPosition(source, migration);
  const stored = await readLastCommit(target, migration);
  if (slot === null || !stored || stored.confirmed === null) return;
  const confirmed = parseLsn(stored.confirmed);
  // The slot itself proves that we confirmed all of it.
  if (compareLsn(slot, confirmed) >= 0) return;
  const options = pluginOptions({ schemas: NO_SCHEMA, numericAsText: false });
  const found = await watched(async () => {
    try {
      return await source.query<Found>(LAST_COMMIT, [
        migration.slot,
        confirmed,
        Object.entries(options).flat(),
        stored.at,
      ]);
    } catch (error) {
      throw startFailure(error, migration.slot, true);
    }
  });
  if (isContinued(stored, slot, found.rows[0])) return;
  throw new MigrationError(
    'SourceRewound',
    `the history of the source "${migration.source}" before ${confirmed}, the applied LSN, differs from the history that the target has applied: a backup or disk image was restored, or a lagging standby was promoted`,
    { lsn: confirmed, slot: migration.slot },
  );
}

/** Pure: whether the source's last commit is the last one that the target has. */
function isContinued(stored: StoredCommit, slot: Lsn, found: Found | undefined): boolean {
  const known = stored.lsn === null ? null : parseLsn(stored.lsn);
  // The last stream ran on a worker version that did not store it: there is nothing to compare, and no evidence against the
  // source.
  if (known === null) return true;
  // The slot had passed it: since then the target has stored only positions, no commits.
  if (compareLsn(known, slot) <= 0) return found === undefined;
  return (
    found !== undefined &&
    parseLsn(found.lsn) === known &&
    found.xid === stored.xid &&
    found.same_time === true
  );
}
