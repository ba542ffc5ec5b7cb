/** How far the schema of a migration is created, and what the step reports of it. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input.ts';
import type { Migration } from '../../contract/migration.ts';
import type { LeftOut, SchemaReport, Work } from '../../contract/work.ts';
import { countEntries, hasSchemaControl } from '../store/archive-entry.ts';
import type { SchemaPhase } from '../archive/entry-phase.ts';
import { readLeftOut } from '../archive/left-out.ts';
import { SourceSchema } from '../dump/source-schema.ts';

export async function progressOf(
  target: pg.ClientBase,
  migration: Migration,
): Promise<'absent' | 'begun' | 'created' | 'used'> {
  if (!(await hasSchemaControl(target))) return 'absent';
  const found = await target.query<{ created: boolean | null }>(
    /* sql */ `select tables_created as created from walferry.migration where id = $1`,
    [migration.id],
  );
  const row = found.rows[0];
  if (row === undefined) return 'absent';
  return row.created === null ? 'begun' : row.created ? 'created' : 'used';
}

export async function report(
  target: pg.ClientBase,
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<SchemaReport> {
  const leftOut = await readLeftOut(target, migration.id);
  if ((await progressOf(target, migration)) === 'used') {
    await using source = await SourceSchema.open(migration, input, work);
    return {
      ...{ created: false, tables: source.tables.length, statements: 0 },
      later: { indexes: 0, constraints: 0 },
      ...leftOutOf(leftOut),
    };
  }
  const counts = await countEntries(target, migration.id);
  const total = (phase: SchemaPhase) => counts.get(phase)?.total ?? 0;
  return {
    created: true,
    tables: counts.get('tables')?.tables ?? 0,
    statements: total('tables'),
    later: { indexes: total('indexes'), constraints: total('constraints') },
    ...leftOutOf(leftOut),
  };
}

function leftOutOf(leftOut: LeftOut | undefined): Pick<SchemaReport, 'leftOut'> {
  return leftOut === undefined ? {} : { leftOut };
}
