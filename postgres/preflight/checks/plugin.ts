/** wal2json is on the source and may be used. */
import pg from 'pg';
import type { Check, SourceFacts } from '../facts.ts';
import { error } from '../wording.ts';

const PLUGIN = 'wal2json';

export const plugin: Check = ({ source }) => {
  if (source === null) return [];
  const found = [];
  const list = source.outputPluginLibraries;
  const listed = list === null || libraries(list).includes(PLUGIN);
  // The setting is looked at by itself, too: it may be the second obstacle behind a missing right or a full slot table.
  if (!listed || source.plugin.state === 'refused') found.push(refused(source));
  if (source.plugin.state === 'missing') {
    found.push(
      error(
        'plugin-missing',
        'the source has no output plugin wal2json',
        `Install it on the source's server (Debian and Ubuntu: postgresql-${source.major}-wal2json; Red Hat: wal2json_${source.major}); no restart is needed.`,
      ),
    );
  }
  if (source.plugin.refusedOptions.length > 0) {
    found.push(
      error(
        'plugin-options',
        `the source's wal2json does not take options that walferry needs: ${source.plugin.refusedOptions.join(', ')}`,
        'Update wal2json on the source to 2.5 or newer.',
      ),
    );
  }
  return found;
};

function refused({ outputPluginLibraries, version }: SourceFacts) {
  const allowed = [...libraries(outputPluginLibraries ?? 'pgoutput, test_decoding'), PLUGIN];
  // Only superusers see the list, and what an administrator allowed before must stay allowed.
  const keep = outputPluginLibraries === null ? ' (beside what it lists already)' : '';
  return error(
    'plugin-refused',
    `the source (PostgreSQL ${version}) does not allow wal2json: its setting output_plugin_libraries does not list it`,
    `On the source: alter system set output_plugin_libraries = ${values(allowed)}; select pg_reload_conf();${keep}`,
  );
}

/** As ALTER SYSTEM wants a list: one value for each name. The whole list in one pair of quotes would be taken for one name. */
function values(names: readonly string[]): string {
  const quoted = (name: string) =>
    /^[a-z_][a-z0-9_]*$/.test(name) ? name : pg.escapeLiteral(name);
  return [...new Set(names)].map(quoted).join(', ');
}

/** The names in the setting, as the server splits them: commas, white space around, double quotes. */
export function libraries(setting: string): string[] {
  return setting
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .filter((name) => name !== '');
}
