/** Names of the objects that a migration does not move, stored until the final summary. */
import type pg from 'pg';
import type { LeftOut } from '../../contract/work.ts';
import type { LeftBehind } from '../archive/left-out.ts';

/** Bounded, because names are kept in the workflow's history. */
const MOST_NAMES = 50;

/** Stores the names: a report whose answer was lost is requested again. */
export async function storeLeftOut(
  target: pg.ClientBase,
  migration: string,
  left: LeftBehind,
): Promise<void> {
  const rows = REASONS.flatMap(([list, reason]) =>
    (left[list] ?? []).map((object) => ({ object, reason })),
  );
  await target.query(
    /* sql */ `
    insert into walferry.left_out (migration, position, object, reason)
    select $1, at, r ->> 'object', r ->> 'reason' from jsonb_array_elements($2::jsonb) with ordinality as e(r, at)`,
    [migration, JSON.stringify(rows)],
  );
}

/** The reasons as the control schema stores them. */
const REASONS = [
  ['excluded', 'excluded'],
  ['never', 'kind'],
  ['accepted', 'accepted'],
  ['unselected', 'unselected'],
  ['unvalidated', 'unvalidated'],
] as const;

/** The names for the report; undefined when nothing was left out. */
export async function readLeftOut(
  target: pg.ClientBase,
  migration: string,
): Promise<LeftOut | undefined> {
  const { rows } = await target.query<{ object: string; reason: string }>(
    /* sql */ `select object, reason from walferry.left_out where migration = $1 order by position`,
    [migration],
  );
  if (rows.length === 0) return undefined;
  const named = (reason: string) =>
    rows
      .filter((row) => row.reason === reason)
      .slice(0, MOST_NAMES)
      .map(({ object }) => object);
  const [excluded, never] = [named('excluded'), named('kind')];
  const [accepted, unselected] = [named('accepted'), named('unselected')];
  const unvalidated = named('unvalidated');
  const shown = [excluded, never, accepted, unselected, unvalidated].flat().length;
  return {
    excluded,
    never,
    // Histories of earlier code have neither list; a migration without such objects reports the same as those.
    ...(accepted.length === 0 ? {} : { accepted }),
    ...(unselected.length === 0 ? {} : { unselected }),
    ...(unvalidated.length === 0 ? {} : { unvalidated }),
    more: rows.length - shown,
  };
}

/** One more object is left out, of a kind or in a state that is not moved. */
export async function noteLeftOut(
  target: pg.ClientBase,
  migration: string,
  object: string,
): Promise<void> {
  await target.query(
    /* sql */ `
    insert into walferry.left_out (migration, position, object, reason)
    select $1, coalesce(max(position), 0) + 1, $2, 'kind' from walferry.left_out where migration = $1`,
    [migration, object],
  );
}

/** Until the end of the transaction, no other session adds an object: it would choose the same position. */
export async function lockLeftOut(target: pg.ClientBase): Promise<void> {
  await target.query(/* sql */ `lock table walferry.left_out in share row exclusive mode`);
}
