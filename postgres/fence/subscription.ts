/**
 * Subscriptions whose workers write to fenced tables. A worker applies rows in replica role and never fires a statement trigger,
 * not even one that is ENABLE ALWAYS: it has to be disabled before a cutover.
 */
import type pg from 'pg';
import type { TableName } from '../catalog/selection.ts';

const SUBSCRIBED = /* sql */ `
select distinct s.subname::text as name
  from pg_catalog.pg_subscription s join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
 where s.subenabled and r.srrelid = any($1::oid[])
   and s.subdbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
 order by 1`;

/** Names of the enabled subscriptions that write to these tables. Any role may read this part of the catalog. */
export async function subscribedAmong(
  client: pg.ClientBase,
  tables: readonly { readonly oid: number }[],
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(SUBSCRIBED, [tables.map(({ oid }) => oid)]);
  return rows.map(({ name }) => name);
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
