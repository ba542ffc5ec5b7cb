-- title: materialized views show what the tables hold at the cutover, in order, and an unpopulated one stays so
-- section: schema
create table item (id int primary key, n int, t text);
insert into item select i, i % 7, 'x' || i from generate_series(1, 100) i;
create materialized view z_base as select n, count(*) as items, max(t) as last from item group by n;
create unique index z_base_n on z_base (n);
create index z_base_last on z_base (last text_pattern_ops) where items > 1;
create view between_them as select sum(items) as items from z_base;
create materialized view a_over as select items + 1 as items from between_them;
create materialized view m_over as select a_over.items * 2 as items from a_over;
create materialized view never as select * from item with no data;
create index never_n on never (n);

-- section: copying
insert into item values (101, 1, 'copying');
delete from item where n = 6;

-- section: streaming
insert into item select i, 9, 'streaming' from generate_series(201, 230) i;
update item set n = 3 where id < 10;
-- An application that refreshes its views does so without a trace in the stream.
refresh materialized view z_base;
refresh materialized view a_over;
refresh materialized view m_over;

-- section: compare
select * from object_materialized_view.z_base order by n;
select items from object_materialized_view.a_over;
select items from object_materialized_view.m_over;
select relispopulated from pg_class where oid = 'object_materialized_view.never'::regclass;
