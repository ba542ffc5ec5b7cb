/**
 * Meaning of the plugin's WARNINGs. All have the same SQLSTATE, so the text decides; it holds only names and is not translated.
 * Pure.
 */

/** At this place in the stream, the plugin omitted an update or delete of this table, which has no replica identity. */
export interface Unsent {
  readonly kind: 'warning';
  readonly schema: string;
  readonly table: string;
}

/** The table that a WARNING of the plugin names. Null for names that could be split in two ways, and for every other WARNING. */
export function unsentOf(message = ''): Unsent | null {
  const match = /^no tuple identifier for (?:UPDATE|DELETE) in table "(.*)"\."(.*)"$/su.exec(
    message,
  );
  const [schema, table] = [match?.[1], match?.[2]];
  if (schema === undefined || table === undefined) return null;
  if (schema.includes('"."') || table.includes('"."')) return null;
  return { kind: 'warning', schema, table };
}

/**
 * Whether a WARNING reports an UPDATE that is sent without its key although the table has one. wal2json reads the table's index
 * list, prints the columns, and then reads the list again. When ANALYZE, VACUUM or DDL of another session invalidated the cached
 * entry in between, the list is empty. The next read of the same change has the key.
 */
export function isKeyUnread(message = ''): boolean {
  return message.startsWith('no old tuple data for UPDATE in table "');
}
