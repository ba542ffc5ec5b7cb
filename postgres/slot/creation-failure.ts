/** Why the source refuses to create a slot: by SQLSTATE, and for the ambiguous one by a query. */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { classify, SQLSTATE, sqlstate } from '../connection/failure.ts';

/** @param asker a session of the same role that can still be queried. */
export async function creationFailure(
  error: unknown,
  slot: string,
  asker: pg.ClientBase,
): Promise<MigrationError> {
  const state = sqlstate(error);
  if (state === undefined || error instanceof MigrationError) return other(error, slot);
  const failure = (code: MigrationError['code'], text: string) =>
    new MigrationError(code, `${text} (SQLSTATE ${state})`, { slot, sqlstate: state }, error);
  switch (state) {
    case SQLSTATE.insufficientPrivilege:
      return (await isPluginRefused(asker))
        ? failure(
            'PluginRefused',
            'the source does not allow wal2json: output_plugin_libraries does not list it',
          )
        : failure(
            'Denied',
            'the role of the source may not create a replication slot: alter role … replication',
          );
    case SQLSTATE.undefinedFile:
      return failure(
        'PluginRefused',
        'wal2json is not installed on the source: install its package there',
      );
    case SQLSTATE.configurationLimitExceeded:
      return failure(
        'Contention',
        'all replication slots of the source are in use: drop one or raise max_replication_slots',
      );
    case SQLSTATE.duplicateObject:
      return failure('SlotBusy', `another attempt is creating slot "${slot}"`);
    case SQLSTATE.notInPrerequisiteState:
      return failure(
        'Denied',
        'the source does not allow logical slots: set wal_level = logical and restart it',
      );
    default:
      return other(error, slot);
  }
}

function other(error: unknown, slot: string): MigrationError {
  return classify(error, { step: `creating slot "${slot}"`, side: 'source' }, 'Internal');
}

/** A missing right and an unlisted plugin both give 42501; the setting shows which one it is. */
async function isPluginRefused(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ listed: boolean | null; may: boolean }>(/* sql */ `
    select (select 'wal2json' = any(regexp_split_to_array(replace(setting, '"', ''), '\\s*,\\s*'))
              from pg_catalog.pg_settings where name = 'output_plugin_libraries') as listed,
           (select rolsuper or rolreplication from pg_catalog.pg_roles where rolname = current_user) as may`);
  const [row] = rows;
  // A hosted server's role may create slots without the attribute, so if the setting is visible, it alone decides.
  return row?.listed === false || (row?.listed === null && row.may);
}
