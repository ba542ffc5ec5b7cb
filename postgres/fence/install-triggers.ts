/**
 * Puts the trigger on tables. CREATE TRIGGER takes SHARE ROW EXCLUSIVE: readers pass, writers queue behind our request. So each
 * table is tried alone and briefly; behind VACUUM, an index build or a long writer it is tried again later instead.
 */
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type { TableName } from '../catalog/selection.ts';
import { nameOf, quoted } from '../catalog/table-name.ts';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { inTransaction } from '../connection/in-transaction.ts';
import { fenceNames } from './fence-name.ts';

/** Longest queue of writers behind one request of ours. */
export const LOCK_TIMEOUT_MS = 200;
export const BRIEFLY = /* sql */ `begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`;

export interface ToInstall extends TableName {
  /** Enable it ALWAYS, which only the table's owner may: sessions in replica role are bound, too. */
  readonly always: boolean;
  /** It is there, but not in the wanted state. */
  readonly there: boolean;
}

export interface Installed {
  readonly done: readonly TableName[];
  /** Locked by others. */
  readonly waiting: readonly TableName[];
  /** Without the right; the rest was installed. */
  readonly denied: readonly TableName[];
}

/** @param together tables in one transaction: 1 on a live database; more where no one writes yet. */
export async function installTriggers(
  client: pg.ClientBase,
  migration: Pick<Migration, 'id'>,
  tables: readonly ToInstall[],
  { signal, beat }: Pick<Work, 'signal' | 'beat'>,
  together = 1,
): Promise<Installed> {
  const result = {
    done: new Array<TableName>(),
    waiting: new Array<TableName>(),
    denied: new Array<TableName>(),
  };
  const install = async (some: readonly ToInstall[]): Promise<void> => {
    signal.throwIfAborted();
    try {
      const statements = some.flatMap((one) => statementsFor(migration, one));
      await inTransaction(client, () => client.query(statements.join(';\n')), BRIEFLY);
      result.done.push(...some);
    } catch (error) {
      const state = sqlstate(error) ?? '';
      if (!EXPECTED.has(state)) throw error;
      // One of several: find out which.
      if (some.length > 1) for (const one of some) await install([one]);
      else if (state === SQLSTATE.insufficientPrivilege) result.denied.push(...some);
      else if (!GONE.has(state)) result.waiting.push(...some);
    }
    // Also after a wait for a lock: many locked tables in a row must not look like a lost worker.
    beat({ step: 'installing the fence', tables: result.done.length, of: tables.length });
  };
  for (let at = 0; at < tables.length; at += together)
    await install(tables.slice(at, at + together));
  return result;
}

/** Dropped or renamed since it was read: the next look decides. */
const GONE = new Set<string>([SQLSTATE.undefinedTable, SQLSTATE.invalidSchemaName]);
const EXPECTED = new Set<string>([
  ...GONE,
  SQLSTATE.lockNotAvailable,
  SQLSTATE.deadlockDetected,
  SQLSTATE.insufficientPrivilege,
]);

function statementsFor(
  migration: Pick<Migration, 'id'>,
  { always, there, ...table }: ToInstall,
): string[] {
  const { triggerSql, functionSql } = fenceNames(migration);
  const on = quoted(table);
  return [
    ...(there
      ? []
      : [
          /* sql */ `create trigger ${triggerSql} before insert or update or delete or truncate on ${on} for each statement execute function ${functionSql}()`,
        ]),
    // A trigger that somebody disabled is enabled again by the second form.
    ...(always || there
      ? [/* sql */ `alter table only ${on} enable ${always ? 'always ' : ''}trigger ${triggerSql}`]
      : []),
  ];
}

/** For messages and reports: bounded, because they are in Temporal's history. */
export const namesOf = (tables: readonly TableName[], most: number): string[] =>
  tables.slice(0, most).map(nameOf);
