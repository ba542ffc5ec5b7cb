-- For every table X_value (id int primary key, v TYPE): the type in all its variants, as a key (an index holds no
-- long values), and without a key.
do $$
declare
  one record;
  special constant text := $text$ v::text not in ('NaN', 'Infinity', '-Infinity') $text$;
begin
  for one in
    select substring(c.relname from '^(.*)_value$') as name, c.oid::regclass as tab,
           format_type(a.atttypid, a.atttypmod) as type, t.typtype <> 'p' and t.typarray <> 0 as listable,
           -- wal2json 2.5 sends their NaN as null, which identifies no row: separate cases.
           t.typname in ('float4', 'float8', 'numeric') as bare
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'v' join pg_type t on t.oid = a.atttypid
     where c.relnamespace = current_schema()::regnamespace and c.relname like '%\_value' and c.relkind = 'r'
     order by c.relname
  loop
    execute format('create domain %I as %s', one.name || '_domain', one.type);
    execute format('create type %I as (a %s, b %I, c text)', one.name || '_pair', one.type, one.name || '_domain');
    execute format('alter table %s add domain %I, add pair %I', one.tab, one.name || '_domain', one.name || '_pair');
    execute format($sql$update %s set domain = v, pair = row(v, v, '"x", \ (y')$sql$, one.tab);
    if one.listable then
      execute format('alter table %s add list %s[], add cube %2$s[], add domains %I[], add pairs %I[]',
                     one.tab, one.type, one.name || '_domain', one.name || '_pair');
      execute format($sql$
        update %s set list = case when id %% 4 = 0 then '{}' else array[v, null, v] end,
               cube = array_fill(v, array[2, 2, 1], array[-1, 0, 7]),
               domains = array[domain, null], pairs = array[pair, null, row(null, null, '')::%I]$sql$,
        one.tab, one.name || '_pair');
    end if;
    execute format('insert into %s (id) select max(id) + 1 from %1$s', one.tab);
    begin
      execute format('create table %I (k %s primary key, n int)', one.name || '_key', one.type);
      execute format('insert into %I select distinct on (v) v, id from %s where octet_length(v::text) < 1000 %s order by v, id on conflict do nothing',
                     one.name || '_key', one.tab, case when one.bare then ' and ' || special else '' end);
    exception when undefined_object then
      null; -- a type without an order
    end;
    if not one.bare then
      execute format('create table %I as select v, id as n from %s', one.name || '_full', one.tab);
      execute format('alter table %I replica identity full', one.name || '_full');
      execute format('insert into %I select v, n from %1$I', one.name || '_full');
    end if;
  end loop;
end $$;
