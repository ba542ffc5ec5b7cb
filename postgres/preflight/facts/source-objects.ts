/** Objects of the source other than tables: those not moved, and those that need a right to be created. */
import { shared, type SourceReading } from '../reading.ts';
import { ofExtension } from './user-object.ts';

export interface ObjectFacts {
  readonly largeObjects: number;
  /** Of open sessions. */
  readonly temporaryTables: number;
  readonly publications: readonly string[];
  readonly subscriptions: readonly { readonly name: string; readonly enabled: boolean }[];
  /** Without those that the input ignores. */
  readonly eventTriggers: readonly string[];
  readonly eventTriggerOwners: readonly string[];
  /** Enabled login event triggers, also those of extensions or ignored by the input. */
  readonly loginTriggers: readonly string[];
  /** Roles whose default privileges were altered. */
  readonly defaultPrivileges: readonly string[];
  /** Names of settings of ALTER DATABASE … SET, for all roles or for some. */
  readonly databaseSettings: readonly string[];
  /** Providers of security labels. */
  readonly labelProviders: readonly string[];
}

export const objects = shared(async (of: SourceReading): Promise<ObjectFacts> => {
  const { rows } = await of.client.query<ObjectFacts>(
    /* sql */ `
    select (select count(*)::float8 from pg_catalog.pg_largeobject_metadata) as "largeObjects",
           (select count(*)::int4 from pg_catalog.pg_class
             where relpersistence = 't' and relkind = 'r') as "temporaryTables",
           array(select pubname::text from pg_catalog.pg_publication order by 1) as publications,
           (select coalesce(json_agg(json_build_object('name', subname, 'enabled', subenabled) order by subname), '[]')
              from pg_catalog.pg_subscription
             where subdbid = (select oid from pg_catalog.pg_database where datname = current_database()))
             as subscriptions,
           array(select evtname::text from pg_catalog.pg_event_trigger t
                  where evtname <> all($1::text[]) and not ${ofExtension('pg_event_trigger', 't.oid')} order by 1) as "eventTriggers",
           array(select distinct r.rolname::text from pg_catalog.pg_event_trigger t
                   join pg_catalog.pg_roles r on r.oid = t.evtowner
                  where evtname <> all($1::text[]) and not ${ofExtension('pg_event_trigger', 't.oid')} order by 1) as "eventTriggerOwners",
           array(select evtname::text from pg_catalog.pg_event_trigger
                  where evtevent = 'login' and evtenabled in ('O', 'A') order by 1) as "loginTriggers",
           array(select distinct r.rolname::text from pg_catalog.pg_default_acl d
                   join pg_catalog.pg_roles r on r.oid = d.defaclrole order by 1) as "defaultPrivileges",
           array(select distinct split_part(one, '=', 1)
                   from pg_catalog.pg_db_role_setting s
                   join pg_catalog.pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) as one
                  where d.datname = current_database() order by 1) as "databaseSettings",
           array(select distinct provider from pg_catalog.pg_seclabel order by 1) as "labelProviders"`,
    [of.input.ignore.eventTriggers],
  );
  const [row] = rows;
  if (!row) throw new Error('a SELECT without FROM returned no row');
  return row;
});
