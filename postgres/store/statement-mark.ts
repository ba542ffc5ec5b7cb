/**
 * Which of the operator's statements have run after the release. They are kept beside the updates that were started: as these, each
 * is to run once for a migration, whatever is repeated.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Migration } from '../../contract/migration.ts';

/** Ids of updates have no space. */
const MARK = 'statement after the release ';

/** @param at place in the list, from 0. */
export async function noteStatement(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
  at: number,
  statement: string,
): Promise<void> {
  // A crash of the target must not forget it while it keeps what the statement did.
  await target.query(/* sql */ `set synchronous_commit = on`);
  await target.query(
    /* sql */ `
    insert into walferry.cutover_call (migration, update_id, run) values ($1, $2, $3)
    on conflict (migration, update_id) do update set run = excluded.run`,
    [id, markOf(at), digestOf(statement)],
  );
}

/** @returns how many at the head of the list have run: they run in their order. */
export async function countRun(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
  statements: readonly string[],
): Promise<number> {
  const { rows } = await target.query<{ mark: string; digest: string }>(
    /* sql */ `
    select update_id as mark, run as digest from walferry.cutover_call where migration = $1 and update_id like $2`,
    [id, `${MARK}%`],
  );
  const digests = new Map(rows.map(({ mark, digest }) => [mark, digest]));
  const next = statements.findIndex((one, at) => digests.get(markOf(at)) !== digestOf(one));
  return next === -1 ? statements.length : next;
}

const markOf = (at: number): string => `${MARK}${at + 1}`;

/** Not the text: it may be long. */
const digestOf = (statement: string): string =>
  createHash('sha256').update(statement).digest('hex');
