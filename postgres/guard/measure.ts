/**
 * What a guard measures on the source. Sessions of this and other migrations, identified by application_name, do not count. Only
 * a physical standby counts as a replica: a logical consumer confirms when it likes, and one with nothing to receive may stay
 * behind for days.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { ceilingsOf, type GuardInput, type Measure } from '../../contract/guard.ts';
import { classify } from '../connection/failure.ts';
import { rolledBack } from '../connection/in-transaction.ts';

/** One measurement. */
export interface Measurement {
  readonly measure: Measure;
  readonly ceiling: number;
  readonly value: number;
}

/** Milliseconds; for the measuring session. A source that needs longer for such a query must not be loaded further. */
export const GUARD_LIMITS = { statementTimeoutMs: 5_000, lockTimeoutMs: 1_000 };

/** Measures everything that the guard names. @throws as {@link measureOne}. */
export async function measure(source: pg.ClientBase, guard: GuardInput): Promise<Measurement[]> {
  const looks: Measurement[] = [];
  for (const what of ceilingsOf(guard)) looks.push(await measureOne(source, guard, what));
  return looks;
}

/**
 * Takes one measure of the guard.
 * @throws MigrationError with the measure as its object: the server's error, `Denied` when the role may not see it, `Internal`
 *   when a query did not return one number. The session remains usable unless the connection is lost.
 */
export async function measureOne(
  source: pg.ClientBase,
  guard: GuardInput,
  { measure: name, ceiling }: Pick<Measurement, 'measure' | 'ceiling'>,
): Promise<Measurement> {
  try {
    return { measure: name, ceiling, value: await MEASURED[name](source, guard) };
  } catch (error) {
    const step = `measuring ${name} for the guard`;
    const { code, message, details } = classify(error, { step, side: 'source' }, 'Internal');
    throw new MigrationError(code, message, { ...details, object: name }, error);
  }
}

type Measuring = (source: pg.ClientBase, guard: GuardInput) => Promise<number>;

const MEASURED: Readonly<Record<Measure, Measuring>> = {
  activeSessions: (source) =>
    seen(
      source,
      // Without the privilege, the state of other roles' sessions is null, as if they were idle.
      /* sql */ `
      select count(*) filter (where state in ('active', 'fastpath function call')) as value,
             count(*) filter (where state = 'disabled' or query = '<insufficient privilege>') as hidden
        from pg_catalog.pg_stat_activity
       where backend_type = 'client backend' and ${OTHERS}`,
    ),
  replicaLagBytes: (source) =>
    seen(
      source,
      /* sql */ `
      select coalesce(max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)), 0) as value,
             count(*) filter (where state is null) as hidden
        from pg_catalog.pg_stat_replication as r where ${REPLICA}`,
    ),
  replicaLagSeconds: (source) =>
    seen(
      source,
      // The server clears the last lag of a caught-up replica only when the replica reports that twice, and a replica that hangs
      // reports no new lag.
      /* sql */ `
      select coalesce(max(extract(epoch from greatest(replay_lag, pg_catalog.clock_timestamp() - reply_time)))
                        filter (where replay_lsn < pg_catalog.pg_current_wal_flush_lsn()), 0) as value,
             count(*) filter (where state is null) as hidden
        from pg_catalog.pg_stat_replication as r where ${REPLICA}`,
    ),
  query: (source, { query }) => ask(source, query?.sql ?? ''),
};

const OTHERS = /* sql */ `application_name !~ '^walferry ' and pid <> pg_catalog.pg_backend_pid()`;

/** Of pg_stat_replication as r. */
export const REPLICA = /* sql */ `${OTHERS} and not exists (
  select from pg_catalog.pg_replication_slots as s where s.active_pid = r.pid and s.slot_type = 'logical')`;

async function seen(source: pg.ClientBase, sql: string): Promise<number> {
  const { rows } = await source.query<{ value: string; hidden: string }>(sql);
  const row = rows[0];
  if (row === undefined || Number(row.hidden) > 0) {
    throw new MigrationError(
      'Denied',
      'the role cannot see the activity of other sessions; grant it pg_read_all_stats, and turn track_activities on where it is off',
    );
  }
  return Number(row.value);
}

/**
 * Runs the operator's query in a read-only transaction that is rolled back. As a cursor, because at most two rows are fetched,
 * and the query can only be a single SELECT.
 */
async function ask(source: pg.ClientBase, sql: string): Promise<number> {
  const measure = async () => {
    // The extended protocol allows only one statement per text; a second one could end the transaction. The driver's types lack
    // the field.
    const text = `declare walferry_guard no scroll cursor for ${sql}`;
    const declaring = { text, queryMode: 'extended' };
    await source.query(declaring);
    const { rows } = await source.query<unknown[]>({
      text: /* sql */ `fetch 2 from walferry_guard`,
      rowMode: 'array',
      // As text, regardless of the driver's parsers.
      types: { getTypeParser: () => (text: string | Buffer) => String(text) },
    });
    return numberIn(rows);
  };
  return rolledBack(source, measure, 'begin read only');
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function numberIn(rows: readonly (readonly unknown[])[]): number {
  const value = rows.length === 1 && rows[0]?.length === 1 ? rows[0][0] : undefined;
  if (typeof value === 'string' && NUMBER.test(value)) {
    const number = Number(value);
    if (Number.isFinite(number)) return number;
  }
  // Do not repeat what it returned: it is data of the source.
  throw new MigrationError(
    'Internal',
    value === null
      ? 'the query of the guard returned null instead of a number'
      : 'the query of the guard did not return one number (one row, one column)',
  );
}
