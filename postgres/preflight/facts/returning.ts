/** Facts that only the way back needs: read only if the input asks for it, and null otherwise. */
import type { Relation } from '../../catalog/relation.ts';
import { readRelations, readRelationsNamed } from '../../catalog/read-relations.ts';
import type { TableName } from '../../catalog/selection.ts';
import type { Reader, SideReading, SourceReading, TargetReading } from '../reading.ts';
import { mayCreateSchemas } from './create-right.ts';
import { outputPluginLibraries } from './allowed-plugins.ts';
import { plugin, type PluginFacts } from './plugin.ts';
import { tryReplica } from './replica-right.ts';
import { relations } from './selected.ts';
import { senders, type SenderFacts } from './senders.ts';
import { slots } from './slots.ts';
import { tables } from './target-tables.ts';

/** The reader, if the input asks for a way back. */
function ifAsked<Of extends SideReading, T>(read: Reader<Of, T>): Reader<Of, T | null> {
  return (of) => (of.input.switchback === undefined ? Promise.resolve(null) : read(of));
}

/** What the new database needs so that its changes can be read. */
export interface DecodingFacts {
  readonly walLevel: string;
  readonly slots: { readonly used: number; readonly max: number };
  readonly senders: SenderFacts;
  /** `idle_replication_slot_timeout` in seconds; 0 if unlimited or unknown to the server. */
  readonly idleSeconds: number;
  /** `max_slot_wal_keep_size` in bytes; null if unlimited. */
  readonly keepBytes: number | null;
  readonly plugin: PluginFacts;
  readonly outputPluginLibraries: string | null;
  /** Selected tables that exist already: their replica identity is not walferry's. */
  readonly existing: readonly Relation[];
}

interface Row {
  wal_level: string;
  slots: number;
  idle: number;
  keep: number | null;
}

export const decoding = ifAsked(async (of: TargetReading): Promise<DecodingFacts> => {
  const { rows } = await of.client.query<Row>(/* sql */ `
    select current_setting('wal_level') as wal_level, current_setting('max_replication_slots')::int4 as slots,
           coalesce((select extract(epoch from current_setting('idle_replication_slot_timeout')::interval)
                       from pg_catalog.pg_settings
                      where name = 'idle_replication_slot_timeout' and setting <> '0'), 0)::float8 as idle,
           (select nullif(setting, '-1')::float8 * 1024 * 1024 from pg_catalog.pg_settings
             where name = 'max_slot_wal_keep_size') as keep`);
  const [row] = rows;
  return {
    walLevel: row?.wal_level ?? '',
    slots: { used: (await slots(of)).length, max: row?.slots ?? 0 },
    senders: await senders(of),
    idleSeconds: row?.idle ?? 0,
    keepBytes: row?.keep ?? null,
    plugin: await plugin(of),
    outputPluginLibraries: await outputPluginLibraries(of),
    existing: await existing(of),
  };
});

/** With their partitions on the target, which may be others than the source's. */
async function existing(of: TargetReading): Promise<Relation[]> {
  const there = await tables(of);
  const named = await readRelationsNamed(of.client, there);
  const roots = new Set(
    there.filter(({ isRoot }) => isRoot).map(({ schema, name }) => `${schema}.${name}`),
  );
  if (roots.size === 0) return named;
  const selected = await readRelations(of.client, of.input.tables, 'estimated');
  const below = selected.filter(
    ({ isPartition, viaRoot }) =>
      isPartition && viaRoot !== null && roots.has(`${viaRoot.schema}.${viaRoot.name}`),
  );
  return [...named, ...below];
}

/** What the old database needs so that the changes can be written. */
export interface ReturningFacts {
  readonly mayCreate: boolean;
  readonly mayReplicate: boolean;
  /** Selected tables that the role may not write. */
  readonly closed: readonly TableName[];
  /** Triggers and rules of selected tables that fire in replica role: `name of schema.table`. */
  readonly firing: readonly string[];
}

export const returning = ifAsked(async (of: SourceReading): Promise<ReturningFacts> => {
  const oids = (await relations(of)).filter(({ kind }) => kind !== 'f').map(({ oid }) => oid);
  const closed = await of.client.query<TableName>(
    /* sql */ `
    select n.nspname as schema, c.relname as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and not (
       has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
       and has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update')
       and has_table_privilege(c.oid, 'delete') and has_table_privilege(c.oid, 'truncate'))
     order by 1, 2`,
    [oids],
  );
  const firing = await of.client.query<{ label: string }>(
    /* sql */ `
    select f.kind || ' ' || f.name || ' of ' || n.nspname || '.' || c.relname as label
      from (select 'trigger' as kind, tgname as name, tgrelid as relation
              from pg_catalog.pg_trigger where not tgisinternal and tgenabled in ('A', 'R')
            union all
            select 'rule', rulename, ev_class from pg_catalog.pg_rewrite
             where ev_type <> '1' and ev_enabled in ('A', 'R')) f
      join pg_catalog.pg_class c on c.oid = f.relation
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) order by 1`,
    [oids],
  );
  return {
    mayCreate: await mayCreateSchemas(of),
    mayReplicate: await tryReplica(of),
    closed: closed.rows,
    firing: firing.rows.map(({ label }) => label),
  };
});
