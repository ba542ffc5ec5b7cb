/** Both sides encode and sort text in the same way. */
import { list } from '../wording.ts';
import {
  defineCheck,
  raising,
  notes,
  onEachSide,
  refuses,
  warns,
  type Side,
  type Values,
  type Found,
} from '../check.ts';
import { locale } from '../facts/locale.ts';
import { collations, missingCollations } from '../facts/missing-collation.ts';
import { createsTables, tables } from '../facts/target-tables.ts';
import type { ServerFacts } from '../server.ts';

const { codes, error, warning, note } = raising({
  encoding: refuses('A database has an encoding other than UTF8.'),
  collation: warns('The databases sort text differently.'),
  'collation-version': notes('The same collation has different library versions.'),
  'collation-missing': refuses('Columns or indexes use a collation that the target does not have.'),
});

export const encoding = defineCheck({
  codes,
  both: { locale },
  source: { collations },
  target: { missingCollations, tables },
  find: ({ source, target }) => [
    onEachSide({ source, target }, encodingOf),
    source && target && sorting(source, target),
    source && target && createsTables(target) && missing(target.missingCollations),
  ],
});

/** The only encoding that is tested end to end. */
const SUPPORTED = 'UTF8';

/**
 * wal2json writes changes in the database's encoding, and a replication connection does not convert them: LATIN1 bytes read as
 * UTF-8 become other characters without an error. SQL_ASCII does not define its bytes at all.
 */
function encodingOf(side: Side, server: ServerFacts): Found {
  if (server.encoding === SUPPORTED) return [];
  const why =
    side === 'target'
      ? 'it cannot store every character of a UTF8 source'
      : server.encoding === 'SQL_ASCII'
        ? 'its bytes have no defined meaning and may not be valid UTF8'
        : 'the stream is not converted and would be read as other characters';
  return error(
    'encoding',
    `the ${side} database "${server.database}" has encoding ${server.encoding}: ${why}`,
    side === 'target'
      ? "Create the target database with encoding 'UTF8' template template0."
      : 'Convert the source first: pg_dump --encoding=UTF8, restore into a UTF8 database, and move that one.',
  );
}

type Localized = Values<{ readonly locale: typeof locale }>;

function sorting(source: Localized, target: Localized): Found {
  const [from, to] = [describe(source), describe(target)];
  if (from !== to) {
    return warning(
      'collation',
      `text is sorted and compared differently: ${from} on the source, ${to} on the target`,
      'Values are moved exactly, but ORDER BY, range conditions and upper/lower may give other results; tables partitioned by ranges of text are refused (partition-key). If that matters, create the target database with the same locale (template template0).',
    );
  }
  const [was, is] = [source.locale.version, target.locale.version];
  if (was === null || is === null || was === is) return [];
  return note(
    'collation-version',
    `collation ${from} is version ${was} on the source and ${is} on the target: some strings may sort differently`,
    'No action is needed: the target builds its own indexes, and tables partitioned by ranges of text are checked separately (partition-key).',
  );
}

function describe({ locale: found }: Localized): string {
  const { provider, collate, ctype, locale: name } = found;
  if (provider !== 'libc')
    return `${provider} ${name ?? collate} (collate ${collate}, ctype ${ctype})`;
  return collate === ctype ? `libc ${collate}` : `libc collate ${collate}, ctype ${ctype}`;
}

function missing(names: readonly string[]): Found {
  if (names.length === 0) return [];
  return error(
    'collation-missing',
    `the target lacks collations that columns or indexes of the source use: ${list(names)}`,
    "Install the locales on the target's host (locale-gen, or a server built with ICU), then on the target as a superuser: select pg_import_system_collations('pg_catalog');",
  );
}
