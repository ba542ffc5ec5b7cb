/** Settings of the source's database that a fence changes in addition: the previous values, stored before the first change. */
import type pg from 'pg';
import * as v from 'valibot';
import { fenceSetting, type FenceSetting } from '../../contract/fence.ts';
import type { Migration } from '../../contract/migration.ts';

/** Keeps the value that was stored first: a repetition would store our own. */
export async function storeFenceSetting(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
  { what, previous }: FenceSetting,
): Promise<void> {
  await target.query(
    /* sql */ `insert into walferry.fence_setting (migration, what, previous) values ($1, $2, $3) on conflict do nothing`,
    [id, what, previous],
  );
}

export async function readFenceSettings(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
): Promise<FenceSetting[]> {
  const { rows } = await target.query(
    /* sql */ `select what, previous from walferry.fence_setting where migration = $1 order by what`,
    [id],
  );
  return v.parse(v.array(fenceSetting), rows);
}

export async function forgetFenceSetting(
  target: pg.ClientBase,
  { id }: Pick<Migration, 'id'>,
  what: FenceSetting['what'],
): Promise<void> {
  await target.query(
    /* sql */ `delete from walferry.fence_setting where migration = $1 and what = $2`,
    [id, what],
  );
}
