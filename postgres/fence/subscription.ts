/**
 * Subscriptions whose workers write to fenced tables. A worker applies rows in replica role and never fires a statement trigger,
 * not even one that is ENABLE ALWAYS, and needs no right that `roles` could revoke: it has to be disabled before a cutover.
 */
import type pg from 'pg';
import { MigrationError } from '../../contract/failure.ts';
import { MOST_NAMED } from '../../contract/fence.ts';
import { listed } from '../../contract/listed.ts';
import type { Migration } from '../../contract/migration.ts';
import type { TableName } from '../catalog/selection.ts';

const SUBSCRIBED = /* sql */ `
select distinct s.subname::text as name
  from pg_catalog.pg_subscription s join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
 where r.srrelid = any($1::oid[])
   -- A worker of a disabled one ends after its transaction: until then it may take the next change.
   and (s.subenabled or exists (select from pg_catalog.pg_stat_subscription w where w.subid = s.oid and w.pid is not null))
   and s.subdbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
 order by 1`;

/** Names of the subscriptions that are enabled, or still have a worker, and write to these tables. Any role may read these. */
export async function subscribedAmong(
  client: pg.ClientBase,
  tables: readonly { readonly oid: number }[],
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(SUBSCRIBED, [tables.map(({ oid }) => oid)]);
  return rows.map(({ name }) => name);
}

/**
 * Part of every proof: one may have been created or enabled since preflight.
 * @throws MigrationError `FenceRefused` naming them.
 */
export async function refuseSubscribed(
  client: pg.ClientBase,
  { source }: Pick<Migration, 'source'>,
  tables: readonly { readonly oid: number }[],
): Promise<void> {
  const found = await subscribedAmong(client, tables);
  if (found.length === 0) return;
  throw new MigrationError(
    'FenceRefused',
    `the fence on "${source}" does not bind: subscriptions write to selected tables, whatever the fence: ${listed(found, MOST_NAMED)}. Disable them (alter subscription NAME disable), then call cutover again`,
    { side: 'source' },
  );
}

export interface SubscribedTable extends TableName {
  readonly subscription: string;
}

/** All tables of this database that an enabled subscription writes to. */
export async function readSubscribed(client: pg.ClientBase): Promise<SubscribedTable[]> {
  const { rows } = await client.query<SubscribedTable>(/* sql */ `
    select n.nspname as schema, c.relname as name, s.subname::text as subscription
      from pg_catalog.pg_subscription s join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
      join pg_catalog.pg_class c on c.oid = r.srrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where s.subenabled
       and s.subdbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
     order by 1, 2, 3`);
  return rows;
}
