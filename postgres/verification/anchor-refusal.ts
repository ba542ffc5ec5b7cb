/** Why the stream did not stand in time, as far as the two servers show it. */
import type pg from 'pg';

/** @param streaming whether an attempt has a session to apply with. @returns text that follows a colon. */
export async function whyNotStanding(source: pg.ClientBase, streaming: boolean): Promise<string> {
  if (!streaming) return 'the stream does not run';
  // Without pg_read_all_stats other sessions show nothing: then the general reason is given.
  const { rows } = await source.query<{ waiting: number }>(/* sql */ `
    select pg_catalog.count(*)::int as waiting from pg_catalog.pg_stat_activity
     where datname = pg_catalog.current_database() and wait_event = 'SyncRep'`);
  if ((rows[0]?.waiting ?? 0) > 0)
    return 'a commit on the source waits for a synchronous standby, and nothing after it can be applied';
  return 'time ran out before the stream had applied what it had received; it may be applying a huge transaction';
}
