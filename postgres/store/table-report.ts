/** What operators see of the tables: counts per state for the workflow, and a list of all for `npm run watch -- ID --tables`. */
import type pg from 'pg';
import * as v from 'valibot';
import type { Migration } from '../../contract/migration.ts';
import {
  MOST_UNREADY,
  TABLE_STATES,
  tableState,
  tableStates,
  type TableState,
  type TableStates,
} from '../../contract/table-state.ts';
import { hasPlan } from './planned-relation.ts';

/** A reason may name several columns or partitions. */
const REASON_CHARACTERS = 200;
/** Those that need attention come first. */
const NAMED_FIRST: readonly TableState[] = ['resync', 'absent', 'catching-up', 'copying'];

/** Counts per state, and the first tables that are not ready. Partitioned tables have no rows and are not counted. */
export async function readTableStates(
  target: pg.ClientBase,
  migration: Migration,
): Promise<TableStates> {
  const { rows } = await target.query(
    /* sql */ `
    select coalesce((select json_object_agg(state, count) from (
             select state, count(*) from walferry.relation
              where migration = $1 and kind = 'r' group by state) c), '{}') as counts,
           coalesce((select json_agg(json_strip_nulls(json_build_object('table', name, 'state', state, 'reason', reason)))
             from (select schema_name || '.' || table_name as name, state, left(reason, $2) as reason
                     from walferry.relation
                    where migration = $1 and kind = 'r' and state not in ('ready', 'dropped')
                    order by array_position($3::text[], state) nulls last, id limit $4) u), '[]') as unready`,
    [migration.id, REASON_CHARACTERS, NAMED_FIRST, MOST_UNREADY],
  );
  return v.parse(tableStates, rows[0]);
}

const listed = v.object({
  table: v.string(),
  state: tableState,
  reason: v.nullable(v.string()),
  rows: v.number(),
  bytes: v.number(),
  estimated: v.boolean(),
  bytesToSnapshot: v.nullable(v.number()),
});

/** One table of the list. */
export type ListedTable = Readonly<v.InferOutput<typeof listed>>;

/**
 * All tables of the newest migration of a workflow id, those that are not ready first. Rows and bytes are of finished chunks;
 * a table that shares its chunk with others, or has none yet, has the source's estimate.
 * @returns null if the target has no control schema of that workflow id.
 */
export async function listTables(
  target: pg.ClientBase,
  workflowId: string,
): Promise<ListedTable[] | null> {
  if (!(await hasPlan(target))) return null;
  const migrations = await target.query<{ id: string }>(
    /* sql */ `select id from walferry.migration where workflow_id = $1 order by created_at desc limit 1`,
    [workflowId],
  );
  const [migration] = migrations.rows;
  if (!migration) return null;
  const tables = await target.query(
    /* sql */ `
    with copied as (
      select relations[1] as id, sum(rows) as rows, sum(bytes) as bytes
        from walferry.chunk
       where migration = $1 and cardinality(relations) = 1 and done_at is not null
       group by 1)
    select r.schema_name || '.' || r.table_name as "table", r.state, r.reason,
           coalesce(c.rows, r.estimated_rows)::float8 as rows, coalesce(c.bytes, r.estimated_bytes)::float8 as bytes,
           c.id is null as estimated,
           case r.state when 'catching-up' then greatest(s.lsn - m.confirmed_lsn, 0)::float8 end as "bytesToSnapshot"
      from walferry.relation r
      join walferry.migration m on m.id = r.migration
      left join copied c on c.id = r.id
      left join walferry.exported_snapshot s on s.migration = r.migration and s.number = r.pass
     where r.migration = $1 and r.kind = 'r'
     order by array_position($2::text[], r.state), 1`,
    [migration.id, [...NAMED_FIRST, ...TABLE_STATES.filter((one) => !NAMED_FIRST.includes(one))]],
  );
  return v.parse(v.array(listed), tables.rows);
}
