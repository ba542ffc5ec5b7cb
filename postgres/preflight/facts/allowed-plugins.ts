/** Output plugins that newer minor releases allow: `output_plugin_libraries`. */
import { shared, value } from '../reading.ts';

/** Null if the server lacks the setting, or the role may not see it (needs superuser or pg_read_all_settings). */
export const outputPluginLibraries = shared(
  // Not current_setting(), which fails if the role may not see the setting; the view only omits it.
  value<string | null>(/* sql */ `
    select (select setting from pg_catalog.pg_settings where name = 'output_plugin_libraries')`),
);

/** The names in the setting, split as the server does: at commas, without surrounding white space and double quotes. */
export function libraries(setting: string): string[] {
  return setting
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .filter((name) => name !== '');
}
