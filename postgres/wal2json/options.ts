/**
 * The options that START_REPLICATION hands to wal2json. Whole schemas are asked for, never single tables: a partition or
 * table made after the start would silently never arrive, while one that arrives unknown stops the stream.
 */

import { randomUUID } from 'node:crypto';
import type { Migration } from '../../contract/migration.ts';

/** Prefix of the logical messages that a migration writes into the WAL: its own, so that messages of others are not asked for. */
export function messagePrefix({ id }: Pick<Migration, 'id'>): string {
  return `walferry-${id}`;
}
/**
 * The plugin can be asked for messages of one prefix, and not for none. Others may write bytes that are no text, under any prefix that
 * they know, and the SQL functions of a slot fail on them; so this is one that no one knows.
 */
const NO_MESSAGES = `walferry-${randomUUID()}`;

export interface PluginSelection {
  /** Schemas to ask for; null asks for all, for a selection whose schemas are given by a wildcard. */
  readonly schemas: readonly string[] | null;
  /** Tables that the plugin leaves out (a busy audit table need not travel); null parts mean any. */
  readonly without?: readonly { readonly schema: string | null; readonly name: string | null }[];
  /** Whether the plugin knows `numeric-data-types-as-string` (from 2.6 on): NaN and infinities arrive then. */
  readonly numericAsText: boolean;
  /** Prefix of the logical messages to ask for, from {@link messagePrefix}; unset for none. */
  readonly messages?: string;
}

/** Options by name, in the plugin's own escaping, not yet quoted for the command. */
export function pluginOptions(selection: PluginSelection): Readonly<Record<string, string>> {
  const { schemas, without = [], numericAsText, messages = NO_MESSAGES } = selection;
  const options: Record<string, string> = {
    'format-version': '2',
    // Types come from the catalog; printing them costs up to two thirds of the decoding speed.
    'include-types': 'off',
    'include-xids': 'on',
    'include-lsn': 'on',
    'include-timestamp': 'on',
    'add-msg-prefixes': messages,
  };
  if (schemas !== null) {
    options['add-tables'] = schemas.map((schema) => `${escapeName(schema)}.*`).join(',');
  }
  if (without.length > 0) {
    options['filter-tables'] = without
      .map(({ schema, name }) => `${part(schema)}.${part(name)}`)
      .join(',');
  }
  if (numericAsText) options['numeric-data-types-as-string'] = 'on';
  return options;
}

/** The options as START_REPLICATION takes them: `("name" 'value', …)`. */
export function renderOptions(options: Readonly<Record<string, string>>): string {
  const list = Object.entries(options).map(
    ([name, value]) => `"${name}" '${value.replaceAll("'", "''")}'`,
  );
  return `(${list.join(', ')})`;
}

function part(name: string | null): string {
  return name === null ? '*' : escapeName(name);
}

/** The plugin ends a name at a comma, point or white space and takes a lone `*` for all; a backslash takes the next one as it is. */
function escapeName(name: string): string {
  return name.replace(/[\\.,*'"\s]/g, '\\$&');
}
