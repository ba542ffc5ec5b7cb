/** Every pattern of the input matches something. */
import { list, nameOf } from '../wording.ts';
import { defineCheck, raising, refuses, warns } from '../check.ts';
import { compileSelection, type TableName } from '../../catalog/selection.ts';
import { relations } from '../facts/selected.ts';
import { USERS } from '../facts/user-object.ts';
import { value, type SourceReading } from '../reading.ts';

const { codes, error, warning } = raising({
  'source-own-schema': refuses(
    'The source has a schema "walferry" that walferry did not create; its tables would not be moved.',
  ),
  'nothing-selected': refuses('The patterns select no table.'),
  'pattern-unmatched': refuses('A pattern in "tables.include" matches no table.'),
  'exclude-unmatched': warns('A pattern in "tables.exclude" matches nothing.'),
  'ignore-unmatched': warns('A pattern in "ignore" matches no selected table.'),
  'foreign-table': refuses('Foreign tables are selected.'),
});

export const pattern = defineCheck({
  codes,
  source: {
    relations,
    idlePatterns: readIdle,
    // Our own control tables are fine: the source may have been a target once.
    ownNameTaken: value<boolean>(/* sql */ `
      select exists (select from pg_catalog.pg_namespace n
        where n.nspname = 'walferry' and not exists (
          select from pg_catalog.pg_class c
            join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'workflow_id'
           where c.relnamespace = n.oid and c.relname = 'migration'))`),
  },
  find: ({ source, input }) => {
    if (source === null) return [];
    const { include, exclude } = source.idlePatterns;
    const ignore = [...input.ignore.missingIdentity, ...input.ignore.unlogged].filter(
      isIdleAmong(source.relations),
    );
    const but = input.tables.exclude.length > 0 ? ` without ${list(input.tables.exclude)}` : '';
    const foreign = source.relations.filter(({ kind }) => kind === 'f').map(nameOf);
    return [
      source.ownNameTaken &&
        error(
          'source-own-schema',
          'the source has a schema "walferry" that walferry did not create: the name is reserved for control tables, so its tables would not be moved',
          'Rename the schema on the source (alter schema walferry rename to …), or drop it if no one needs it.',
        ),
      source.relations.length === 0
        ? error(
            'nothing-selected',
            `the patterns select no table of the source database "${source.database}": ${list(input.tables.include)}${but}`,
            'Correct "tables" in the input (names as in the catalog, case-sensitive), or the source service.',
          )
        : include.length > 0 &&
          error(
            'pattern-unmatched',
            `patterns in "tables.include" match no table of the source: ${list(include)}`,
            'Correct or remove them.',
          ),
      exclude.length > 0 &&
        warning(
          'exclude-unmatched',
          `patterns in "tables.exclude" match nothing on the source: ${list(exclude)}`,
          'Correct them if a table should be excluded.',
        ),
      ignore.length > 0 &&
        warning(
          'ignore-unmatched',
          `patterns in "ignore" match no selected table on the source: ${list(ignore)}`,
          'Correct or remove them.',
        ),
      foreign.length > 0 &&
        error(
          'foreign-table',
          `foreign tables store no rows and cannot be moved: ${list(foreign)}`,
          `Add them to "tables.exclude".`,
        ),
    ];
  },
});

/** A pattern that matches none of these is almost always a typo. */
function isIdleAmong(tables: readonly TableName[]): (pattern: string) => boolean {
  return (pattern) => {
    const matcher = compileSelection({ include: [pattern], exclude: [] });
    return !tables.some((table) => matcher.includes(table));
  };
}

async function readIdle({ client, input: { tables } }: SourceReading) {
  const { rows } = await client.query<TableName>(/* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S') and ${USERS}`);
  const isIdle = isIdleAmong(rows);
  return { include: tables.include.filter(isIdle), exclude: tables.exclude.filter(isIdle) };
}
