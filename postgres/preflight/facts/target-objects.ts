/** Objects of the target that the migration does not create but meets. */
import { shared, type TargetReading } from '../reading.ts';
import { destinations, destinedRoots } from './target-tables.ts';
import { ofExtension, USERS } from './user-object.ts';

export interface TargetObjects {
  /** Number of unselected user tables. */
  readonly otherTables: number;
  /** Enabled event triggers. */
  readonly eventTriggers: readonly string[];
  /** All event triggers, including disabled ones and those of extensions. */
  readonly eventTriggerNames: readonly string[];
  /** Whether ALTER DEFAULT PRIVILEGES adds grants to objects that our role creates. */
  readonly defaultPrivileges: boolean;
}

export const objects = shared(async (of: TargetReading): Promise<TargetObjects> => {
  const selected = await destinations(of);
  const roots = await destinedRoots(of);
  const { rows } = await of.client.query<TargetObjects>(
    /* sql */ `
    select (select count(*)::int4
              from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and c.relpersistence <> 't' and ${USERS}
               and not ${ofExtension('pg_class', 'c.oid')}
               and not exists (select from unnest($1::text[], $2::text[]) as w (schema, name)
                                where w.schema = n.nspname and w.name = c.relname)
               -- Partitions of a root count as part of it.
               and not exists (select from pg_catalog.pg_class r join pg_catalog.pg_namespace m on m.oid = r.relnamespace
                                 join unnest($3::text[], $4::text[]) as w (schema, name)
                                   on w.schema = m.nspname and w.name = r.relname
                                where c.relispartition and r.oid = pg_catalog.pg_partition_root(c.oid))) as "otherTables",
           array(select evtname::text from pg_catalog.pg_event_trigger t
                  where evtenabled <> 'D' and not ${ofExtension('pg_event_trigger', 't.oid')}
                  order by 1) as "eventTriggers",
           array(select evtname::text from pg_catalog.pg_event_trigger) as "eventTriggerNames",
           exists (select from pg_catalog.pg_default_acl d
                    where d.defaclrole = (select oid from pg_catalog.pg_roles where rolname = current_user))
             as "defaultPrivileges"`,
    [
      selected.map(({ schema }) => schema),
      selected.map(({ name }) => name),
      roots.map(({ schema }) => schema),
      roots.map(({ name }) => name),
    ],
  );
  const [row] = rows;
  if (!row) throw new Error('a SELECT without FROM returned no row');
  return row;
});
