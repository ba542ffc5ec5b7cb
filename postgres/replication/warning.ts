/** What the plugin's WARNINGs mean. They have one SQLSTATE, so the text decides; it holds names only, and is not translated. Pure. */

/** The plugin left out an update or delete of this table, which has no replica identity, at this place in the stream. */
export interface Unsent {
  readonly kind: 'warning';
  readonly schema: string;
  readonly table: string;
}

/**
 * The table that a WARNING of the plugin is about. Names that could be split in two ways are not guessed at: null, like for every other WARNING.
 */
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
 * Whether a WARNING says that an UPDATE is sent without its key although the table has one. wal2json reads the table's index list,
 * prints the columns, and then looks at the list again; when ANALYZE, VACUUM or DDL of another session invalidated the cached entry
 * in between, the list is empty. The same change read again has its key.
 */
export function isKeyUnread(message = ''): boolean {
  return message.startsWith('no old tuple data for UPDATE in table "');
}
