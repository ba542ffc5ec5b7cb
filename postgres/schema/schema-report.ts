/** What the step that creates the schema reports. */
import type pg from 'pg';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { LeftOut, SchemaReport, Work } from '../../contract/work.ts';
import { countEntries } from '../store/entry-count.ts';
import { readLeftOut } from '../store/left-behind.ts';
import { readTablesState } from '../store/tables-created.ts';
import type { SchemaPhase } from '../archive/entry-phase.ts';
import { SourceSchema } from '../dump/source-schema.ts';

export async function report(
  target: pg.ClientBase,
  migration: Migration,
  input: MigrationInput,
  work: Work,
): Promise<SchemaReport> {
  const leftOut = await readLeftOut(target, migration.id);
  if ((await readTablesState(target, migration)) === 'used') {
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
