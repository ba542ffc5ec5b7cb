/** Extensions and event triggers that the input ignores: whether they exist, and which objects depend on them. */
import { shared, type SourceReading } from '../reading.ts';
import { selectedOids } from './selected.ts';

export interface IgnoredFacts {
  /** `ignore.extensions` that the source has. */
  readonly extensions: readonly string[];
  /** `ignore.eventTriggers` that the source has. */
  readonly eventTriggers: readonly string[];
  /** Names in either list that the source does not have. */
  readonly absent: readonly string[];
  /** Parts of selected tables, and other extensions, that need one of the extensions: as pg_identify_object describes them. */
  readonly needed: readonly string[];
  /** Views, functions and other objects that are not moved because they depend on the extensions. */
  readonly along: readonly string[];
}

/**
 * All direct and indirect dependents of the extensions. The recursion ends at tables: a selected table is refused, and dependents
 * of an unselected one are not moved anyway. pg_depend has one edge in reverse: from a view to the rule that holds its query.
 *
 * Copying the schema derives the same from the archive's dependencies (archive/left-extension.ts), which describes objects by
 * their kind in the archive. This finds it also where there can be no dump, and names them as the catalog does.
 */
const DEPENDENTS = /* sql */ `
with recursive stands (classid, objid, objsubid) as (
  select 'pg_catalog.pg_extension'::regclass::oid, oid, 0 from pg_catalog.pg_extension where extname = any($1::text[])
  union
  select e.classid, e.objid, e.objsubid
    from stands s
   cross join lateral (
     select d.classid, d.objid, d.objsubid from pg_catalog.pg_depend d
      where d.refclassid = s.classid and d.refobjid = s.objid
     union all
     select 'pg_catalog.pg_class'::regclass, r.ev_class, 0 from pg_catalog.pg_rewrite r
      where s.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = s.objid and r.rulename = '_RETURN'
   ) e
   where not exists (
     select from pg_catalog.pg_class t
      where s.classid = 'pg_catalog.pg_class'::regclass and t.oid = s.objid and t.relkind in ('r', 'p', 'f')
        and not exists (select from pg_catalog.pg_depend x
                         where x.classid = s.classid and x.objid = s.objid and x.deptype = 'e'))
), object as (
  select distinct s.classid, s.objid,
         case when s.classid = 'pg_catalog.pg_class'::regclass then s.objsubid else 0 end as objsubid,
         coalesce(i.indrelid, f.adrelid, nullif(k.conrelid, 0), t.tgrelid, p.polrelid, r.ev_class, x.stxrelid,
                  c.oid) as relation,
         k.contypid
    from stands s
    left join pg_catalog.pg_class c on s.classid = 'pg_catalog.pg_class'::regclass and c.oid = s.objid
    left join pg_catalog.pg_index i on s.classid = 'pg_catalog.pg_class'::regclass and i.indexrelid = s.objid
    left join pg_catalog.pg_attrdef f on s.classid = 'pg_catalog.pg_attrdef'::regclass and f.oid = s.objid
    left join pg_catalog.pg_constraint k on s.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = s.objid
    left join pg_catalog.pg_trigger t on s.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = s.objid
    left join pg_catalog.pg_policy p on s.classid = 'pg_catalog.pg_policy'::regclass and p.oid = s.objid
    left join pg_catalog.pg_rewrite r on s.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = s.objid
    left join pg_catalog.pg_statistic_ext x on s.classid = 'pg_catalog.pg_statistic_ext'::regclass and x.oid = s.objid
   -- Extension members and internal objects (array types, row types, a constraint's index) come with their owner.
   where not exists (select from pg_catalog.pg_depend d
                      where d.classid = s.classid and d.objid = s.objid and d.deptype in ('e', 'i'))
), described as (
  select distinct d.type || ' ' || d.identity as name,
         o.relation = any($2::oid[]) or o.classid = 'pg_catalog.pg_extension'::regclass as needed,
         o.relation is null and coalesce(o.contypid, 0) = 0
           and o.classid not in ('pg_catalog.pg_amop'::regclass, 'pg_catalog.pg_amproc'::regclass,
                                 'pg_catalog.pg_opfamily'::regclass, 'pg_catalog.pg_user_mapping'::regclass)
           or o.classid = 'pg_catalog.pg_class'::regclass and o.objsubid = 0 and c.relkind in ('v', 'm')
              and c.oid = o.objid as along
    from object o
    left join pg_catalog.pg_class c on c.oid = o.relation
   cross join lateral pg_catalog.pg_identify_object(o.classid, o.objid, o.objsubid) d
   where not (o.classid = 'pg_catalog.pg_extension'::regclass
              and o.objid in (select oid from pg_catalog.pg_extension where extname = any($1::text[])))
)
select array(select name from described where needed order by 1) as needed,
       array(select name from described where along and needed is not true order by 1) as along`;

export const ignored = shared(async (of: SourceReading): Promise<IgnoredFacts> => {
  const { extensions, eventTriggers } = of.input.ignore;
  const found = await of.client.query<{ extensions: string[]; eventTriggers: string[] }>(
    /* sql */ `
    select array(select extname::text from pg_catalog.pg_extension where extname = any($1::text[]) order by 1) as extensions,
           array(select evtname::text from pg_catalog.pg_event_trigger where evtname = any($2::text[]) order by 1) as "eventTriggers"`,
    [extensions, eventTriggers],
  );
  const there = found.rows[0] ?? { extensions: [], eventTriggers: [] };
  const absent = [
    ...extensions.filter((name) => !there.extensions.includes(name)),
    ...eventTriggers.filter((name) => !there.eventTriggers.includes(name)),
  ];
  // The recursion over pg_depend is slow, so it runs only if needed.
  const dependents =
    there.extensions.length === 0
      ? []
      : (
          await of.client.query<{ needed: string[]; along: string[] }>(DEPENDENTS, [
            there.extensions,
            await selectedOids(of),
          ])
        ).rows;
  const { needed, along } = dependents[0] ?? { needed: [], along: [] };
  return { ...there, absent, needed, along };
});
