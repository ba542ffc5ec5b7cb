/** Queries for functions, procedures and aggregates, and for operators with their classes, families and casts. */
import { owned } from './compared-object.ts';

const AGGREGATE = /* sql */ `
  pg_catalog.concat_ws(', ', 'kind = ' || a.aggkind::text, 'direct arguments = ' || a.aggnumdirectargs, 'sfunc = ' || a.aggtransfn, 'stype = ' || a.aggtranstype::pg_catalog.regtype,
    'sspace = ' || nullif(a.aggtransspace, 0), 'finalfunc = ' || nullif(a.aggfinalfn::oid, 0)::pg_catalog.regproc, 'finalfunc_extra = ' || nullif(a.aggfinalextra, false),
    'finalfunc_modify = ' || a.aggfinalmodify::text, 'combinefunc = ' || nullif(a.aggcombinefn::oid, 0)::pg_catalog.regproc,
    'serialfunc = ' || nullif(a.aggserialfn::oid, 0)::pg_catalog.regproc, 'deserialfunc = ' || nullif(a.aggdeserialfn::oid, 0)::pg_catalog.regproc,
    'initcond = ' || pg_catalog.quote_literal(a.agginitval), 'msfunc = ' || nullif(a.aggmtransfn::oid, 0)::pg_catalog.regproc,
    'sortop = ' || nullif(a.aggsortop, 0)::pg_catalog.regoperator, 'parallel = ' || p.proparallel::text)`;

const ROUTINES = owned(/* sql */ `
  select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.pronamespace, p.proname, '', case when p.prokind = 'a' then ${AGGREGATE} else pg_catalog.pg_get_functiondef(p.oid) end,
         case when p.prokind <> 'a' then pg_catalog.rtrim(pg_catalog.pg_get_functiondef(p.oid), E'\\n') end
    from pg_catalog.pg_proc p left join pg_catalog.pg_aggregate a on a.aggfnoid = p.oid
   where p.pronamespace not in ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
     -- The functions of a range or multirange type come with it.
     and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'i')`);

const OPERATORS = owned(/* sql */ `
  select 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprnamespace, o.oprname, '', pg_catalog.concat_ws(', ', 'function = ' || o.oprcode,
           'commutator = ' || nullif(o.oprcom, 0)::pg_catalog.regoperator, 'negator = ' || nullif(o.oprnegate, 0)::pg_catalog.regoperator,
           'restrict = ' || nullif(o.oprrest::oid, 0)::pg_catalog.regproc, 'join = ' || nullif(o.oprjoin::oid, 0)::pg_catalog.regproc,
           'merges = ' || o.oprcanmerge, 'hashes = ' || o.oprcanhash), null
    from pg_catalog.pg_operator o
  union all
  select 'pg_catalog.pg_opclass'::pg_catalog.regclass, o.oid, o.opcnamespace, o.opcname, '', pg_catalog.concat_ws(', ', 'type = ' || o.opcintype::pg_catalog.regtype,
           'family = ' || f.opfnamespace::pg_catalog.regnamespace || '.' || f.opfname, 'key = ' || nullif(o.opckeytype, 0)::pg_catalog.regtype, 'default = ' || o.opcdefault), null
    from pg_catalog.pg_opclass o join pg_catalog.pg_opfamily f on f.oid = o.opcfamily
  union all
  select 'pg_catalog.pg_opfamily'::pg_catalog.regclass, o.oid, o.opfnamespace, o.opfname, '', pg_catalog.concat_ws(', ',
           (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', 'operator', m.amopstrategy, m.amopopr::pg_catalog.regoperator, m.amoppurpose), ', ' order by m.amopstrategy, m.amopopr::pg_catalog.regoperator::text)
              from pg_catalog.pg_amop m where m.amopfamily = o.oid),
           (select pg_catalog.string_agg(pg_catalog.concat_ws(' ', 'function', m.amprocnum, m.amproclefttype::pg_catalog.regtype, m.amproc::pg_catalog.regprocedure), ', '
                     order by m.amprocnum, m.amproc::pg_catalog.regprocedure::text) from pg_catalog.pg_amproc m where m.amprocfamily = o.oid)), null
    from pg_catalog.pg_opfamily o
  union all
  select 'pg_catalog.pg_cast'::pg_catalog.regclass, o.oid, null, null, '', pg_catalog.concat_ws(', ', 'function = ' || nullif(o.castfunc, 0)::pg_catalog.regprocedure,
           'context = ' || o.castcontext::text, 'method = ' || o.castmethod::text),
         pg_catalog.format('create cast (%s as %s)%s%s', o.castsource::pg_catalog.regtype, o.casttarget::pg_catalog.regtype,
           case o.castmethod when 'i' then ' with inout' when 'b' then ' without function' else ' with function ' || o.castfunc::pg_catalog.regprocedure end,
           case o.castcontext when 'a' then ' as assignment' when 'i' then ' as implicit' else '' end)
    from pg_catalog.pg_cast o
  union all
  select 'pg_catalog.pg_transform'::pg_catalog.regclass, o.oid, null, null, '', pg_catalog.concat_ws(', ', 'from = ' || o.trffromsql, 'to = ' || o.trftosql), null
    from pg_catalog.pg_transform o`);

export const ROUTINE_FACTS: readonly string[] = [ROUTINES, OPERATORS];
