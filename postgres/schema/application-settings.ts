/** Archive statements that compute values from rows run under the default settings of the application's sessions. */
import type pg from 'pg';
import { quoted } from '../catalog/table-name.ts';
import { setFor, type Settings } from '../connection/apply-settings.ts';
import type { Defaults } from '../connection/defaults.ts';
import type { StoredEntry } from '../store/schema-entry.ts';

/** Applies the table's settings to the transaction of an entry. String literals of the archive are standard-conforming. */
export async function useApplicationSettings(
  client: pg.ClientBase,
  defaults: Defaults,
  { schema, tables }: Pick<StoredEntry, 'schema' | 'tables'>,
): Promise<void> {
  const [table] = tables;
  const settings =
    schema !== null && table?.startsWith(`${schema}.`) === true
      ? await defaults.forTable(client, quoted({ schema, name: table.slice(schema.length + 1) }))
      : defaults.settings(null);
  await setFor('transaction', client, withStandardStrings(settings));
}

function withStandardStrings(settings: Settings): Settings {
  return new Map([...settings, ['standard_conforming_strings', 'on']]);
}
