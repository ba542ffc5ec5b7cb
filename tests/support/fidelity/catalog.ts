/**
 * What a schema contains besides rows, as text: one line for every object, printed by the server's own functions.
 * Shares no code with the copy of the schema, and no program (pg_dump) either.
 */
import type pg from 'pg';

/** Line of an object → its definition. */
export type Catalog = ReadonlyMap<string, string>;

/**
 * Names print with their schema, except those of public, which functions of indexes may call without it; values
 * always print the same way.
 */
export const PIN = /* sql */ `set client_encoding = 'UTF8'; set datestyle = 'ISO'; set intervalstyle = 'postgres';
  set timezone = 'UTC'; set extra_float_digits = 3; set bytea_output = 'hex'; set lc_monetary = 'C'; set search_path = public;
  set xmloption = 'content'; set row_security = off; set quote_all_identifiers = off`;

/** A missing list of rights means the owner's default ones; a dump may write either. */
const acl = (kind: string, list: string, owner: string): string =>
  `(select string_agg(item::text, ',' order by item::text) from unnest(coalesce(${list}, acldefault('${kind}', ${owner}))) item)`;

/** Each query: name of the schema, the object, its definition. `$1`: names of schemas. */
const QUERIES: Readonly<Record<string, string>> = {
  schema: /* sql */ `
    select n.nspname, 'schema', concat_ws(' | ', pg_get_userbyid(n.nspowner), ${acl('n', 'n.nspacl', 'n.nspowner')})
      from pg_namespace n where n.nspname = any($1)`,
  relation: /* sql */ `
    select n.nspname, format('relation %I', c.relname), concat_ws(' | ',
        'kind ' || c.relkind::text, 'persistence ' || c.relpersistence::text, 'owner ' || pg_get_userbyid(c.relowner),
        'options ' || c.reloptions::text, 'rls ' || c.relrowsecurity || c.relforcerowsecurity,
        'identity ' || c.relreplident::text, 'method ' || am.amname, 'bound ' || pg_get_expr(c.relpartbound, c.oid),
        'partitioned ' || case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
        'of ' || nullif(c.reloftype, 0)::regtype, 'populated ' || c.relispopulated,
        'rights ' || case when c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') then
           ${acl('r', "case when c.relkind = 'S' then coalesce(c.relacl, acldefault('s', c.relowner)) else c.relacl end", 'c.relowner')} end,
        'parents ' || (select string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno)
                         from pg_inherits i where i.inhrelid = c.oid))
      from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_am am on am.oid = c.relam
     where n.nspname = any($1)`,
  // The server's own `pg_attver` (from 17.12 on, docs/explanation/facts.md) differs on every server.
  column: /* sql */ `
    select n.nspname, format('column %I.%I', c.relname, a.attname), concat_ws(' | ',
        'place ' || row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod),
        case when a.attnotnull then 'not null' end, 'default ' || pg_get_expr(d.adbin, d.adrelid),
        'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
        'collation ' || nullif(a.attcollation, 0)::regcollation, 'storage ' || a.attstorage::text,
        'compression ' || nullif(a.attcompression::text, ''), 'statistics ' || a.attstattarget,
        'options ' || (select string_agg(o, ',' order by o) from unnest(a.attoptions) o where o not like 'pg\\_attver=%'), 'inherited ' || a.attinhcount, case when a.attislocal then 'local' end,
        'rights ' || (select string_agg(item::text, ',' order by item::text) from unnest(a.attacl) item))
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where n.nspname = any($1) and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')`,
  // Only checks are inherited; whether a partition's key is flagged depends on the order of its creation and
  // attachment.
  constraint: /* sql */ `
    select n.nspname, format('constraint %I on %s', k.conname,
             coalesce(nullif(k.conrelid, 0)::regclass::text, nullif(k.contypid, 0)::regtype::text)),
           concat_ws(' | ', pg_get_constraintdef(k.oid), case when k.convalidated then 'valid' else 'not valid' end,
             case when k.condeferrable then 'deferrable' end, case when k.condeferred then 'deferred' end,
             case when k.connoinherit and k.contype = 'c' then 'no inherit' end, 'inherited ' || k.coninhcount)
      from pg_constraint k join pg_namespace n on n.oid = k.connamespace where n.nspname = any($1)`,
  index: /* sql */ `
    select n.nspname, format('index %I', c.relname), concat_ws(' | ', pg_get_indexdef(i.indexrelid),
             case when i.indisvalid then 'valid' else 'invalid' end, case when i.indisclustered then 'clustered' end,
             case when i.indisreplident then 'replica identity' end, case when i.indimmediate then 'immediate' end,
             (select string_agg(a.attnum || ' statistics ' || a.attstattarget, ', ' order by a.attnum)
                from pg_attribute a where a.attrelid = i.indexrelid and a.attstattarget >= 0))
      from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1)`,
  trigger: /* sql */ `
    select n.nspname, format('trigger %I on %I', t.tgname, c.relname), pg_get_triggerdef(t.oid) || ' | enabled ' || t.tgenabled::text
      from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1) and not t.tgisinternal`,
  rule: /* sql */ `
    select n.nspname, format('rule %I on %I', r.rulename, c.relname), pg_get_ruledef(r.oid) || ' | enabled ' || r.ev_enabled::text
      from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1)`,
  sequence: /* sql */ `
    select n.nspname, format('sequence %I', c.relname), concat_ws(' | ', format_type(s.seqtypid, null), s.seqstart, s.seqmin,
             s.seqmax, s.seqincrement, s.seqcache, s.seqcycle,
             (select format('owned by %s.%I', d.refobjid::regclass, a.attname) from pg_depend d
                join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
               where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
                 and d.refclassid = 'pg_class'::regclass))
      from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1)`,
  policy: /* sql */ `
    select n.nspname, format('policy %I on %I', p.polname, c.relname), concat_ws(' | ', p.polcmd, p.polpermissive,
             (select string_agg(coalesce(r.rolname, 'public'), ',' order by r.rolname)
                from unnest(p.polroles) one left join pg_roles r on r.oid = one),
             'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
      from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any($1)`,
  type: /* sql */ `
    select n.nspname, format('type %s', t.oid::regtype), concat_ws(' | ', t.typtype, pg_get_userbyid(t.typowner),
             case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end, case when t.typnotnull then 'not null' end,
             'default ' || t.typdefault, 'collation ' || nullif(t.typcollation, 0)::regcollation,
             (select string_agg(quote_literal(e.enumlabel), ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid),
             (select concat_ws(',', r.rngsubtype::regtype, r.rngmultitypid::regtype, nullif(r.rngcollation, 0)::regcollation,
                       r.rngcanonical, r.rngsubdiff) from pg_range r where r.rngtypid = t.oid),
             ${acl('T', 't.typacl', 't.typowner')})
      from pg_type t join pg_namespace n on n.oid = t.typnamespace where n.nspname = any($1)`,
  routine: /* sql */ `
    select n.nspname, format('routine %s', p.oid::regprocedure), concat_ws(' | ',
             case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end, pg_get_userbyid(p.proowner),
             (select concat_ws(',', g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggtranstype::regtype, g.agginitval)
                from pg_aggregate g where g.aggfnoid = p.oid),
             ${acl('f', 'p.proacl', 'p.proowner')})
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any($1)`,
  statistics: /* sql */ `
    select n.nspname, format('statistics %I', s.stxname), concat_ws(' | ', pg_get_statisticsobjdef(s.oid),
             pg_get_userbyid(s.stxowner), s.stxstattarget)
      from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where n.nspname = any($1)`,
  // All other objects of a schema, at least by name: operators, their classes and families, collations, conversions,
  // text search objects.
  other: /* sql */ `
    select n.nspname, format('%s %s', o.type, o.identity), 'there'
      from pg_depend d join pg_namespace n on n.oid = d.refobjid,
           lateral pg_identify_object(d.classid, d.objid, d.objsubid) o
     where d.refclassid = 'pg_namespace'::regclass and n.nspname = any($1)`,
  comment: /* sql */ `
    select s.name, format('comment on %s %s', o.type, o.identity), d.description
      from pg_description d, lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) o,
           unnest($1::text[]) as s (name)
     where d.objoid >= 16384 and (o.schema = s.name or o.identity = quote_ident(s.name)
        or (o.schema is null and o.identity ~ (' (on|for) ' || quote_ident(s.name) || '\\.')))`,
  label: /* sql */ `
    select n.nspname, format('default rights of %s on %s', pg_get_userbyid(a.defaclrole), a.defaclobjtype),
           (select string_agg(item::text, ',' order by item::text) from unnest(a.defaclacl) item)
      from pg_default_acl a join pg_namespace n on n.oid = a.defaclnamespace where n.nspname = any($1)`,
};

/** The catalogs of these schemas, by schema name; a schema that does not exist has none. */
export async function readCatalogs(
  client: pg.ClientBase,
  schemas: readonly string[],
): Promise<ReadonlyMap<string, Catalog>> {
  await client.query(PIN);
  const found = new Map<string, Map<string, string>>();
  for (const [aspect, sql] of Object.entries(QUERIES)) {
    const { rows } = await client.query<[string, string, string | null]>({
      text: sql,
      values: [schemas],
      rowMode: 'array',
    });
    for (const [schema, object, definition] of rows) {
      const catalog = found.get(schema) ?? new Map<string, string>();
      found.set(schema, catalog);
      catalog.set(`${aspect}: ${object}`, definition ?? '');
    }
  }
  return found;
}

/** What differs, one sentence for each object; none when both are the same. */
export function compareCatalogs(
  source: Catalog | undefined,
  target: Catalog | undefined,
): string[] {
  const [a, b] = [source ?? new Map<string, string>(), target ?? new Map<string, string>()];
  return [...new Set([...a.keys(), ...b.keys()])].sort().flatMap((object) => {
    const [left, right] = [a.get(object), b.get(object)];
    if (left === right) return [];
    if (left === undefined) return [`${object}: only on the target`];
    if (right === undefined) return [`${object}: missing on the target (${left})`];
    return [`${object}: is ${right} instead of ${left}`];
  });
}
