/** The rows of the source's schemas at a time when everything up to the confirmed LSN had been read under the right names. */
import type pg from 'pg';
import * as v from 'valibot';
import type { Migration } from '../../contract/migration.ts';
import type { SchemaRows } from '../catalog/schema-row.ts';

const schema = v.array(v.tuple([v.string(), v.string(), v.string()]));

/** Null if none are recorded. */
export async function readRecordedSchemas(
  target: pg.ClientBase,
  migration: Migration,
): Promise<SchemaRows | null> {
  const { rows } = await target.query<{ schemas: unknown }>(
    /* sql */ `select source_schemas as schemas from walferry.migration where id = $1`,
    [migration.id],
  );
  const recorded = v.parse(v.nullable(schema), rows[0]?.schemas ?? null);
  return (
    recorded && new Map(recorded.map(([name, version, rights]) => [name, { version, rights }]))
  );
}

/** @param only `first` keeps existing records. */
export async function recordSchemas(
  target: pg.ClientBase,
  migration: Migration,
  rows: SchemaRows,
  only: 'first' | 'always' = 'always',
): Promise<void> {
  await target.query(
    /* sql */ `update walferry.migration set source_schemas = $2 where id = $1 and ($3 or source_schemas is null)`,
    [
      migration.id,
      JSON.stringify([...rows].map(([name, { version, rights }]) => [name, version, rights])),
      only === 'always',
    ],
  );
}
