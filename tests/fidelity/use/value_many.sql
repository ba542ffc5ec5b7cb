-- Many rows of each table: they are applied as sets, through COPY and staging tables.
do $$
declare
  tab regclass;
  columns text;
  kind text;
begin
  for tab, kind in
    select c.oid, substring(c.relname from '[a-z]+$') from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relname ~ '_(value|key|full)$' and c.relkind = 'r' order by 1
  loop
    if kind = 'value' then
      select string_agg(quote_ident(attname), ', ' order by attnum) into columns from pg_attribute
       where attrelid = tab and attnum > 0 and attname <> 'id';
      execute format('insert into %s (id, %s) select id + 10000 * n, %2$s from %1$s, generate_series(1, 5) n', tab, columns);
      execute format('update %s t set (%s) = (select %2$s from %1$s s where s.id > t.id order by s.id limit 1) where id %% 2 = 0',
                     tab, columns);
      execute format('update %s set id = id + 100000 where id %% 3 = 0', tab);
      execute format('delete from %s where id %% 5 = 0', tab);
    elsif kind = 'key' then
      -- The same keys many times: each folds into one change.
      for i in 1 .. 30 loop
        execute format('update %s set n = n + 1', tab);
      end loop;
    else
      execute format('insert into %s select v, n + 1000 * i from %1$s, generate_series(1, 5) i', tab);
      execute format('update %s set n = -n where n %% 2 = 0', tab);
    end if;
  end loop;
end $$;
