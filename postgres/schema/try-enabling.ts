/** Whether the triggers that walferry disabled could be enabled now, without enabling them. */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { lockableObjects } from '../catalog/lock-capacity.ts';
import { failed } from '../session/ddl-failure.ts';
import { readDisabledTriggers } from '../store/disabled-trigger.ts';
import { hasStore } from '../store/upgrade.ts';
import { restoringStatement } from './trigger-statement.ts';

const LOCKS_EACH = 4;
const AT_ONCE = 500;

/**
 * Enables as many triggers and rules of tables as fit into one transaction, which the caller rolls back. Event triggers are left
 * out: they would fire for the statements of the others.
 * @returns how many.
 * @throws MigrationError `Denied` without the right, `Contention` behind a session that has the table locked, `SchemaFailed`.
 */
export async function tryEnabling(target: pg.ClientBase, migration: Migration): Promise<number> {
  if (!(await hasStore(target))) return 0;
  const most = await lockableObjects([target], LOCKS_EACH, AT_ONCE);
  const disabled = await readDisabledTriggers(target, migration, false);
  const some = disabled.filter(({ kind }) => kind !== 'event trigger').slice(0, most);
  for (const one of some) {
    const table = `${one.schema_name}.${one.table_name}`;
    await target.query(restoringStatement(one)).catch((error: unknown) => {
      const what = `${one.kind} ${one.name} of ${table} could not be enabled`;
      throw failed(error, { what, code: 'SchemaFailed', object: one.name, table });
    });
  }
  return some.length;
}
