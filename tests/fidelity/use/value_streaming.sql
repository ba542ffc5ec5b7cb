-- Few rows of each table: they are applied one by one. Existing rows are moved, nulled, deleted and inserted again.
do $$
declare
  tab regclass;
  columns text;
  kind text;
  k text;
begin
  for tab, kind in
    select c.oid, substring(c.relname from '[a-z]+$') from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relname ~ '_(value|key|full)$' and c.relkind = 'r' order by 1
  loop
    if kind = 'value' then
      select string_agg(quote_ident(attname), ', ' order by attnum) into columns from pg_attribute
       where attrelid = tab and attnum > 0 and attname <> 'id';
      execute format('insert into %s (id, %s) select id + 2000, %2$s from %1$s where id between 100 and 199', tab, columns);
      execute format('update %s t set (%s) = (select %2$s from %1$s s where s.id < t.id order by s.id desc limit 1)
                      where id in (select id from %1$s order by id limit 9)', tab, columns);
      execute format('update %s set (%s) = row(%s) where id %% 20 = 3', tab, columns,
                     repeat('null, ', (select count(*)::int - 2 from pg_attribute where attrelid = tab and attnum > 0)) || 'null');
      execute format('delete from %s where id %% 20 = 4', tab);
    elsif kind = 'key' then
      execute format('delete from %s where n = (select min(n) from %1$s) returning k::text', tab) into k;
      execute format('update %s set k = %L, n = n + 1 where n = (select max(n) from %1$s)', tab, k);
      execute format('update %s set n = n + 7', tab);
    else
      execute format('update %s set v = null where n %% 4 = 1', tab);
      execute format('delete from %s where ctid in (select min(ctid) from %1$s group by n having n %% 5 = 0)', tab);
    end if;
  end loop;
end $$;
