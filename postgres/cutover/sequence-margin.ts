/**
 * Sequences in the release. `nextval` fires no trigger, so numbers may be handed out on the source until the last moment, also
 * after they were read, for rows that will be inserted on the target. The margin keeps both apart.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { takeTurn } from '../store/turn.ts';
import { SEQUENCES_AT_ONCE } from './sequence-state.ts';
import { setStates, type Setting } from './set-sequences.ts';

/**
 * A sequence that was never called has handed out nothing. At the end of its range it stays there: the next number is refused, or
 * the first one again, as on the source. A value outside of the target's range stays as it is, so that setting it fails.
 */
const AHEAD = /* sql */ `
select w.at::integer as at,
       (case when not w.called or v.value > q.seqmax or v.value < q.seqmin then v.value
             when q.seqincrement > 0 then least(v.value + coalesce($2::numeric, q.seqcache) * q.seqincrement, q.seqmax)
             else greatest(v.value + coalesce($2::numeric, q.seqcache) * q.seqincrement, q.seqmin) end)::text as value
  from jsonb_to_recordset($1::jsonb) as w(at integer, sql text, value text, called boolean)
 cross join lateral (select w.value::numeric as value) v
  join pg_catalog.pg_sequence q on q.seqrelid = w.sql::regclass
 order by w.at`;

/**
 * The settings, moved ahead by `margin` numbers each.
 * @param margin null: by the sequence's cache, which is what one session may have taken without using it.
 */
export async function withMargin(
  target: pg.ClientBase,
  settings: readonly Setting[],
  margin: number | null,
): Promise<Setting[]> {
  if (settings.length === 0 || margin === 0) return [...settings];
  const wanted = settings.map(({ to, value, called }, at) => ({ at, sql: to.sql, value, called }));
  const { rows } = await target.query<{ at: number; value: string }>(AHEAD, [
    JSON.stringify(wanted),
    margin,
  ]);
  const values = new Map(rows.map(({ at, value }) => [at, value]));
  return settings.map((one, at) => ({ ...one, value: values.get(at) ?? one.value }));
}

/**
 * How many sequences one transaction may set: each is a lock. The others are set before the release, which does no harm on a target
 * that no one draws from.
 * @param scheduledAt of this attempt, see {@link takeTurn}.
 * @returns how many of the settings were set. @throws MigrationError `Fenced`.
 */
export async function setMost(
  target: pg.ClientBase,
  migration: Migration,
  settings: readonly Setting[],
  scheduledAt: number | undefined,
): Promise<number> {
  const size = await lockableObjects([target], 1, SEQUENCES_AT_ONCE);
  const before = Math.max(0, settings.length - size);
  if (before === 0) return 0;
  // Without the turn a frozen attempt that wakes up when the application already uses these sequences would set them back.
  const turn = await takeTurn(target, migration, scheduledAt);
  for (let at = 0; at < before; at += size) {
    const some = settings.slice(at, Math.min(at + size, before));
    await inTransaction(target, async () => {
      await turn.hold();
      await setStates(target, some);
    });
  }
  return before;
}
