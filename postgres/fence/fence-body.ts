/**
 * The text of the fence's function. The state is in the text and not in a row that it reads: a repeatable read transaction would
 * read the old row, but the catalog is read as of now. So sessions with old snapshots and prepared plans are refused, too.
 *
 * It runs as the writer, with the writer's search_path: every name has its schema, or a function of the application could stand
 * in its place. The writer needs no right on the schema or the function.
 */
import pg from 'pg';
import type { Migration } from '../../contract/migration.ts';
import { fenceNames } from './fence-name.ts';

/** What the function does. The deadline is ISO and UTC, so that every DateStyle reads it alike. */
export type Body =
  | { readonly state: 'open' }
  | { readonly state: 'armed'; readonly deadline: string }
  | { readonly state: 'sealed' }
  | { readonly state: 'closed' };

/** The SQLSTATE that drivers and pools know as "this server is read-only": they connect again. */
export const REFUSED_STATE = '25006';

const WORDS = {
  armed: 'writes are stopped for a cutover',
  sealed: 'writes are stopped: this database is being moved to another server',
  closed: 'this database takes no writes yet: it is the target of a running migration',
} as const;

/** Any session may set it, and ours do (pinned.ts): the fence stops accidents, not intent. */
const PASSES = /* sql */ `if pg_catalog.current_setting('walferry.apply', true) operator(pg_catalog.=) 'on' then return null; end if;`;

/** An operator repairs rows of the target by hand when a change cannot be applied. */
const HINTS = {
  armed: 'Retry: they continue here if the cutover is undone, otherwise on the new server.',
  sealed: 'Connect to the new server.',
  closed: 'An operator who repairs rows by hand sets walferry.apply = on in the session.',
} as const;

const raise = (state: keyof typeof WORDS) =>
  /* sql */ `raise exception using errcode = '${REFUSED_STATE}', message = '${WORDS[state]}', hint = '${HINTS[state]}';`;

/** Pure. @throws RangeError for a deadline that is not ISO in UTC: it becomes part of a statement. */
export function bodyOf(body: Body): string {
  switch (body.state) {
    case 'open':
      return 'begin return null; end';
    case 'armed':
      if (!/^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(body.deadline)) {
        throw new RangeError('the deadline of a fence is not ISO in UTC');
      }
      // clock_timestamp(), because now() stands still within the writer's transaction.
      return /* sql */ `begin ${PASSES} if pg_catalog.clock_timestamp() operator(pg_catalog.<) pg_catalog.timestamptz '${body.deadline}' then ${raise('armed')} end if; return null; end`;
    case 'sealed':
    case 'closed':
      return /* sql */ `begin ${PASSES} ${raise(body.state)} end`;
  }
}

/** The statement that puts the function into a state. Call it with the gate's row locked: two at once fail with XX000. */
export function replaceFunction(migration: Pick<Migration, 'id'>, body: Body): string {
  return /* sql */ `create or replace function ${fenceNames(migration).functionSql}() returns trigger language plpgsql as ${pg.escapeLiteral(bodyOf(body))}`;
}
