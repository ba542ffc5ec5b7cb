/**
 * The options that START_REPLICATION passes to wal2json. They select whole schemas, never single tables: otherwise changes
 * of a table or partition created after the start would silently never arrive. An unknown table that arrives stops the stream.
 */

import { randomUUID } from 'node:crypto';
import type { Migration } from '../../contract/migration.ts';

/** Prefix of the logical messages that a migration writes to the WAL. It is unique, so that the plugin skips other messages. */
export function messagePrefix({ id }: Pick<Migration, 'id'>): string {
  return `walferry-${id}`;
}
/**
 * The plugin can select the messages of one prefix, but not none. Other applications may write bytes that are not text under any
 * prefix that they know, and the SQL functions of a slot fail on these. So this prefix is random.
 */
const NO_MESSAGES = `walferry-${randomUUID()}`;

/** Tables of walferry: those of the way back are on the database that is read. Whoever selects schemas does not select these. */
const OWN = ['walferry', 'walferry_fence'].map((schema) => ({ schema, name: null }));

export interface PluginSelection {
  /** Schemas to select; null selects all, when the migration gives its schemas by a wildcard. */
  readonly schemas: readonly string[] | null;
  /** Tables that the plugin omits (a busy excluded table costs no traffic); a null part matches any name. */
  readonly without?: readonly { readonly schema: string | null; readonly name: string | null }[];
  /** Whether the plugin supports `numeric-data-types-as-string` (since 2.6): only then non-finite numbers arrive. */
  readonly numericAsText: boolean;
  /** Prefix of the logical messages to select, from {@link messagePrefix}; unset for none. */
  readonly messages?: string;
}

/** Options by name, with the plugin's escaping, not yet quoted for the command. */
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
  const omitted = schemas === null ? [...without, ...OWN] : without;
  if (omitted.length > 0) {
    options['filter-tables'] = omitted
      .map(({ schema, name }) => `${part(schema)}.${part(name)}`)
      .join(',');
  }
  if (numericAsText) options['numeric-data-types-as-string'] = 'on';
  return options;
}

/** The options in the syntax of START_REPLICATION: `("name" 'value', …)`. */
export function renderOptions(options: Readonly<Record<string, string>>): string {
  const list = Object.entries(options).map(
    ([name, value]) => `"${name}" '${value.replaceAll("'", "''")}'`,
  );
  return `(${list.join(', ')})`;
}

function part(name: string | null): string {
  return name === null ? '*' : escapeName(name);
}

/**
 * The plugin ends a name at a comma, point or white space, and a single `*` matches all names; a backslash escapes the next
 * character.
 */
function escapeName(name: string): string {
  return name.replace(/[\\.,*'"\s]/g, '\\$&');
}
