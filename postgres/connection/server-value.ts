/** The server's own values of its settings, without those of roles and databases. */
import type pg from 'pg';
import { connect, type Purpose } from './connect.ts';

export type Values = Map<string, string>;

/** `pg_settings.source` of values that are the same for every role and database. */
const OF_THE_SERVER = new Set([
  'default',
  'environment variable',
  'configuration file',
  'command line',
]);

interface SettingRow {
  name: string;
  setting: string;
  source: string;
  boot_val: string | null;
}

/**
 * Values that do not come from a role or database. What a role or database setting hides is read from the configuration file,
 * which requires a privilege; without it the session's own value is used.
 */
export async function readServer(
  service: string,
  purpose: Purpose,
  client: pg.ClientBase,
): Promise<Values> {
  await using plain = await connect(service, purpose, { withServerDefaults: true });
  // Without an operator: this session uses its role's search path, which may contain one of the same name.
  const { rows } = await plain.query<SettingRow>(
    /* sql */ `select name, setting, source, boot_val from pg_catalog.pg_settings`,
  );
  const unsure = rows.some(({ source }) => !OF_THE_SERVER.has(source));
  const file = unsure ? await readFile(client) : null;
  return new Map(
    rows.map(({ name, setting, source, boot_val }) => {
      const low = name.toLowerCase();
      if (OF_THE_SERVER.has(source) || file === null) return [low, setting];
      return [low, file.get(low) ?? boot_val ?? setting];
    }),
  );
}

async function readFile(client: pg.ClientBase): Promise<Values | null> {
  const { rows } = await client.query<{ allowed: boolean }>(/* sql */ `
    select pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'select')
           and pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'execute') as allowed`);
  if (rows[0]?.allowed !== true) return null;
  const file = await client.query<{ name: string; setting: string }>(/* sql */ `
    select name, setting from pg_catalog.pg_file_settings where applied and name is not null and setting is not null`);
  return new Map(file.rows.map(({ name, setting }) => [name.toLowerCase(), setting]));
}
