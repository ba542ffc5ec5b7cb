-- Every value once more, some rows with another row's values, some under another key, some gone.
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
      execute format('insert into %s (id, %s) select id + 100, %2$s from %1$s', tab, columns);
      execute format('update %s t set (%s) = (select %2$s from %1$s s where s.id = t.id + 1) where id %% 3 = 0', tab, columns);
      execute format('update %s set id = id + 1000 where id %% 5 = 1', tab);
      execute format('delete from %s where id %% 7 = 0', tab);
    elsif kind = 'key' then
      execute format('update %s set n = n + 100', tab);
      execute format('delete from %s where n = (select min(n) from %1$s) returning k::text', tab) into k;
      execute format('update %s set k = %L where n = (select max(n) from %1$s)', tab, k);
    else
      execute format('update %s set n = n + 100 where n %% 2 = 0', tab);
      execute format('delete from %s where ctid in (select min(ctid) from %1$s group by n having n %% 3 = 0)', tab);
      execute format('insert into %s select v, n + 300 from %1$s where n < 20', tab);
    end if;
  end loop;
end $$;
