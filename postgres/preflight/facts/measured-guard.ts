/** The guard of the input, measured once: a failure here would hold the copy forever. */
import type pg from 'pg';
import { ceilingsOf, type GuardInput } from '../../../contract/guard.ts';
import type { MigrationError } from '../../../contract/failure.ts';
import { classify } from '../../connection/failure.ts';
import { GUARD_LIMITS, measureOne, REPLICA, type Measurement } from '../../guard/measure.ts';

export interface GuardFacts {
  readonly looks: readonly Measurement[];
  readonly failures: readonly MigrationError[];
  /** Whether the role may see the activity of other roles' sessions. */
  readonly seesOthers: boolean;
  /** Number of connected replicas. */
  readonly replicas: number;
}

export async function readGuard(client: pg.ClientBase, guard: GuardInput): Promise<GuardFacts> {
  const looks: Measurement[] = [];
  const failures: MigrationError[] = [];
  const { statementTimeoutMs } = GUARD_LIMITS;
  await client.query(/* sql */ `set statement_timeout = ${statementTimeoutMs}`);
  try {
    // Each separately, to report all failures at once.
    for (const what of ceilingsOf(guard)) {
      try {
        looks.push(await measureOne(client, guard, what));
      } catch (error) {
        failures.push(classify(error, {}, 'Internal'));
      }
    }
  } finally {
    await client.query(/* sql */ `reset statement_timeout`);
  }
  const { rows } = await client.query<{ sees: boolean; replicas: number }>(/* sql */ `
    select pg_catalog.pg_has_role('pg_read_all_stats', 'usage') as sees,
           (select count(*)::int from pg_catalog.pg_stat_replication as r where ${REPLICA}) as replicas`);
  return { looks, failures, seesOthers: rows[0]?.sees ?? false, replicas: rows[0]?.replicas ?? 0 };
}
