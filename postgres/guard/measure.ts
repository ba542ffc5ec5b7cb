/**
 * What a guard measures on the source. Our own sessions do not count, those of other migrations neither: they are known by their
 * application_name. A replica is a physical standby: a logical consumer confirms when it likes, and one that has nothing to receive may
 * stay behind for days.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { ceilingsOf, type GuardInput, type Measure } from '../../contract/guard.ts';
import { classify } from '../connection/failure.ts';

/** One measure at one moment. */
export interface Look {
  readonly measure: Measure;
  readonly ceiling: number;
  readonly value: number;
}

/** Milliseconds; for the session that measures. A source that needs longer for such a query is not to be loaded further. */
export const GUARD_LIMITS = { statementTimeoutMs: 5_000, lockTimeoutMs: 1_000 };

/** Everything that the guard names. @throws as {@link measureOne}. */
export async function measure(source: pg.ClientBase, guard: GuardInput): Promise<Look[]> {
  const looks: Look[] = [];
  for (const what of ceilingsOf(guard)) looks.push(await measureOne(source, guard, what));
  return looks;
}

/**
 * One measure of the guard.
 * @throws MigrationError with the measure as its object: what the server failed with, `Denied` when the role may not see it, `Internal`
 *   when a query gave something else than one number. The session can be used again, unless it is lost.
 */
export async function measureOne(
  source: pg.ClientBase,
  guard: GuardInput,
  { measure: name, ceiling }: Pick<Look, 'measure' | 'ceiling'>,
): Promise<Look> {
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
      // Without the right to see it the state of other roles' sessions is null, as if they were idle.
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
      // The server forgets the last lag of a replica that has replayed everything only when that reports it twice, and learns no new one
      // from a replica that hangs.
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
      'the role may not see what other sessions do (pg_read_all_stats), or track_activities is off for some',
    );
  }
  return Number(row.value);
}

/**
 * The operator's query, in a transaction that is read only and rolled back. As a cursor: whatever it returns, two rows of it are
 * fetched at most, and it can be nothing but one SELECT.
 */
async function ask(source: pg.ClientBase, sql: string): Promise<number> {
  await source.query(/* sql */ `begin read only`);
  try {
    // In the extended protocol a text can be one statement only; a second one could end the transaction. The driver's types do not
    // know the field.
    const text = `declare walferry_guard no scroll cursor for ${sql}`;
    const declaring = { text, queryMode: 'extended' };
    await source.query(declaring);
    const { rows } = await source.query<unknown[]>({
      text: /* sql */ `fetch 2 from walferry_guard`,
      rowMode: 'array',
      // As text, whatever the driver makes of the type elsewhere.
      types: { getTypeParser: () => (text: string | Buffer) => String(text) },
    });
    return numberIn(rows);
  } finally {
    await source.query(/* sql */ `rollback`);
  }
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function numberIn(rows: readonly (readonly unknown[])[]): number {
  const value = rows.length === 1 && rows[0]?.length === 1 ? rows[0][0] : undefined;
  if (typeof value === 'string' && NUMBER.test(value)) {
    const number = Number(value);
    if (Number.isFinite(number)) return number;
  }
  // What it returned instead is not repeated: it is data of the source.
  throw new MigrationError(
    'Internal',
    value === null
      ? 'the query of the guard returned null instead of a number'
      : 'the query of the guard did not return one number (one row, one column)',
  );
}
