/** wal2json is installed on the source, allowed, and recent enough. */
import pg from 'pg';
import type { Check, SourceFacts } from '../facts.ts';
import { error } from '../wording.ts';

const PLUGIN = 'wal2json';

export const plugin: Check = ({ source }) => {
  if (source === null) return [];
  const found = [];
  const list = source.outputPluginLibraries;
  const listed = list === null || libraries(list).includes(PLUGIN);
  // Checked separately, too: it may be a second obstacle behind a missing right or a lack of free slots.
  if (!listed || source.plugin.state === 'refused') found.push(refused(source));
  if (source.plugin.state === 'missing') {
    found.push(
      error(
        'plugin-missing',
        'the output plugin wal2json is not installed on the source',
        `Install it on the source's server (Debian and Ubuntu: postgresql-${source.major}-wal2json; Red Hat: wal2json_${source.major}); no restart is needed.`,
      ),
    );
  }
  if (source.plugin.refusedOptions.length > 0) {
    found.push(
      error(
        'plugin-options',
        `the source's wal2json lacks options that walferry needs: ${source.plugin.refusedOptions.join(', ')}`,
        'Update wal2json on the source to 2.5 or newer.',
      ),
    );
  }
  return found;
};

function refused({ outputPluginLibraries, version }: SourceFacts) {
  const allowed = [...libraries(outputPluginLibraries ?? 'pgoutput, test_decoding'), PLUGIN];
  // Only superusers see the list, and existing entries must stay.
  const keep = outputPluginLibraries === null ? ' (in addition to its present entries)' : '';
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

/** The names in the setting, split as the server does: at commas, without surrounding white space and double quotes. */
export function libraries(setting: string): string[] {
  return setting
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .filter((name) => name !== '');
}
