/** wal2json is installed on the source, allowed, and recent enough. */
import pg from 'pg';
import { defineCheck, raising, refuses } from '../check.ts';
import { libraries, outputPluginLibraries } from '../facts/allowed-plugins.ts';
import { plugin } from '../facts/plugin.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error } = raising({
  'plugin-missing': refuses('wal2json is not installed on the source.'),
  'plugin-options': refuses("The source's wal2json lacks options that walferry needs."),
  'plugin-refused': refuses('The source does not allow wal2json (output_plugin_libraries).'),
});

const PLUGIN = 'wal2json';

export const outputPlugin = defineCheck({
  codes,
  source: { plugin, outputPluginLibraries },
  find: ({ source }) => {
    if (source === null) return [];
    const list = source.outputPluginLibraries;
    const listed = list === null || libraries(list).includes(PLUGIN);
    return [
      // Checked separately, too: it may be a second obstacle behind a missing right or a lack of free slots.
      (!listed || source.plugin.state === 'refused') && refused(source),
      source.plugin.state === 'missing' &&
        error(
          'plugin-missing',
          'the output plugin wal2json is not installed on the source',
          `Install it on the source's server (Debian and Ubuntu: postgresql-${source.major}-wal2json; Red Hat: wal2json_${source.major}); no restart is needed.`,
        ),
      source.plugin.refusedOptions.length > 0 &&
        error(
          'plugin-options',
          `the source's wal2json lacks options that walferry needs: ${source.plugin.refusedOptions.join(', ')}`,
          'Update wal2json on the source to 2.5 or newer.',
        ),
    ];
  },
});

function refused({
  outputPluginLibraries: setting,
  version,
}: ServerFacts & { readonly outputPluginLibraries: string | null }) {
  const allowed = [...libraries(setting ?? 'pgoutput, test_decoding'), PLUGIN];
  // Only superusers see the list, and existing entries must stay.
  const keep = setting === null ? ' (in addition to its present entries)' : '';
  return error(
    'plugin-refused',
    `the source (PostgreSQL ${version}) does not allow wal2json: output_plugin_libraries does not list it`,
    `On the source: alter system set output_plugin_libraries = ${values(allowed)}; select pg_reload_conf();${keep}`,
  );
}

/** As ALTER SYSTEM expects a list: one value per name. A list in one pair of quotes would count as one name. */
function values(names: readonly string[]): string {
  const quoted = (name: string) =>
    /^[a-z_][a-z0-9_]*$/.test(name) ? name : pg.escapeLiteral(name);
  return [...new Set(names)].map(quoted).join(', ');
}
