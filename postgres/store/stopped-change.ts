/** The change that stopped the stream, with the key of its row: messages and logs have many readers, and never contain it. */
import type pg from 'pg';
import type { MigrationError } from '../../contract/failure.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';

/** For the operator to run on the target. */
export const SHOW_STOPPED_CHANGE =
  'select * from walferry.stopped_change order by at desc limit 1;';

export interface StoppedChange {
  readonly lsn: Lsn;
  readonly table: TableName | undefined;
  readonly action: string;
  readonly key: Readonly<Record<string, string | null>> | null;
  readonly failure: MigrationError;
}

/** Has no effect if another attempt has taken over. */
export async function storeStoppedChange(
  target: pg.ClientBase,
  migration: Migration,
  epoch: bigint,
  { lsn, table, action, key, failure }: StoppedChange,
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.stopped_change
      (migration, lsn, schema_name, table_name, action, key_columns, code, sqlstate)
    select id, $3, $4, $5, $6, $7, $8, $9 from walferry.migration where id = $1 and epoch = $2`,
    [
      migration.id,
      epoch.toString(),
      lsn,
      table?.schema ?? null,
      table?.name ?? null,
      action,
      JSON.stringify(key),
      failure.code,
      failure.details.sqlstate ?? null,
    ],
  );
}
