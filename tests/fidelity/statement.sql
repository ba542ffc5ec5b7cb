-- title: every statement that writes rows arrives, a few rows at a time and many
-- section: schema
create table item (id int primary key, grp int, v text, n int not null default 0);
create table staged (id int primary key, v text);
create table counter (name text primary key, hits bigint);
insert into item select i, i % 7, 'copied ' || i, i from generate_series(1, 300) i;
insert into staged select i, 'staged ' || i from generate_series(250, 450) i;

-- section: copying
insert into item (id, v) values (1001, 'one'), (1002, null), (1003, '');
insert into item (id, v) values (1, 'again') on conflict (id) do nothing;
insert into item (id, v) select id, v from staged where id < 300 on conflict (id) do update set v = excluded.v, n = item.n + 1;
update item set v = s.v from staged s where s.id = item.id and item.id between 290 and 295;
delete from item using staged s where s.id = item.id and item.id between 296 and 299;
insert into counter values ('page', 1) on conflict (name) do update set hits = counter.hits + 1;

-- section: streaming
insert into counter values ('page', 1) on conflict (name) do update set hits = counter.hits + 1;
do $$ begin for i in 1..200 loop
  insert into counter values ('page ' || i % 3, 1) on conflict (name) do update set hits = counter.hits + 1;
end loop; end $$;
-- await: applied
merge into item i using staged s on s.id = i.id
  when matched and s.id < 280 then delete
  when matched then update set v = 'merged', n = i.n + 100
  when not matched then insert (id, grp, v) values (s.id, -1, s.v);
-- await: applied
with gone as (delete from item where grp = 3 returning *), more as (insert into staged select id, v from gone on conflict do nothing returning id)
update counter set hits = (select count(*) from more) where name = 'page';
do $$ declare c cursor for select * from item where id > 350 for update; begin
  for r in c loop
    if r.id % 2 = 0 then update item set v = 'by cursor' where current of c; else delete from item where current of c; end if;
  end loop;
end $$;
update item set v = v, n = n where grp = 1;
update item set grp = null where grp = 2;
select * from item where id < 50 for update;
insert into item (id, n) select i, default_n from generate_series(2000, 2100) i, (values (5)) d (default_n);
-- fails: 23505
insert into item (id) values (2050);

-- section: compare
select count(*), sum(n), md5(string_agg(v, ',' order by id)) from statement.item;
