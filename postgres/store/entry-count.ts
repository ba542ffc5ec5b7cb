/** How much of the schema is created. */
import type pg from 'pg';
import type { IndexReport } from '../../contract/work.ts';
import type { SchemaPhase } from '../archive/entry-phase.ts';

export interface EntryCounts {
  readonly total: number;
  readonly done: number;
  readonly tables: number;
}

/** How many entries each phase has, how many are done, and how many are tables. */
export async function countEntries(
  target: pg.ClientBase,
  migration: string,
): Promise<ReadonlyMap<SchemaPhase, EntryCounts>> {
  const { rows } = await target.query<EntryCounts & { phase: SchemaPhase }>(
    /* sql */ `
    select phase, count(*)::int as total, count(done_at)::int as done,
           count(*) filter (where kind = 'TABLE')::int as tables
      from walferry.schema_entry where migration = $1 group by phase`,
    [migration],
  );
  return new Map(rows.map(({ phase, ...counts }) => [phase, counts]));
}

/** Number of entries of a post-data phase, and how many are on the target; all 0 when walferry created no tables. */
export async function reportPhase(
  target: pg.ClientBase,
  migration: string,
  phase: Exclude<SchemaPhase, 'tables'>,
): Promise<IndexReport> {
  const { rows } = await target.query<Required<IndexReport>>(
    /* sql */ `
    select count(*) filter (where kind = 'INDEX')::int as indexes,
           count(*) filter (where kind like '%CONSTRAINT')::int as constraints,
           count(done_at)::int as built, count(*)::int as total
      from walferry.schema_entry where migration = $1 and phase = $2`,
    [migration, phase],
  );
  return rows[0] ?? { indexes: 0, constraints: 0, built: 0, total: 0 };
}
