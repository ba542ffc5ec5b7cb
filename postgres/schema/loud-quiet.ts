/** Disables triggers and rules of the target that would fire for copied and applied rows, until the cutover (loud.ts). */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import { hasSchemaControl } from './control.ts';
import { loudStates, readLoud, readLoudOnPlanned } from './loud.ts';
import { quietFound } from './quiet.ts';

const SHOWN = 5;

/** Disables what is loud; between two transactions of the session. @param tables of the target; `all` that are followed. */
export async function quietLoud(
  target: pg.ClientBase,
  migration: Migration,
  tables: readonly TableName[] | 'all',
  {
    replicaRole,
    log,
    told = () => undefined,
  }: {
    readonly replicaRole: boolean;
    readonly log: Work['log'];
    /** Called after every batch. */
    readonly told?: () => void;
  },
): Promise<void> {
  if (!(await hasSchemaControl(target))) return;
  const states = loudStates(replicaRole);
  const loud =
    tables === 'all'
      ? await readLoudOnPlanned(target, migration, states)
      : await readLoud(target, tables, states);
  if (loud.length === 0) return;
  await quietFound(target, migration, loud, true, told);
  log.warn(
    'triggers or rules of the target would fire for replicated rows: disabled until the cutover',
    {
      count: loud.length,
      names: loud
        .slice(0, SHOWN)
        .map((one) => `${one.kind} ${one.name} of ${one.schema_name}.${one.table_name}`),
    },
  );
}
