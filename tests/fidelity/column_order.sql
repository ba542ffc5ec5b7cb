-- title: the target's tables may have their columns in another order, more columns, other indexes
-- section: schema
create table item (id int primary key, a text, b int, g int generated always as (b * 2) stored, big text);
alter table item alter column big set storage external;
create table unkeyed (a int, j json, b text);
alter table unkeyed replica identity full;
create table by_index (a int not null, b int not null, v text);
create unique index by_index_key on by_index (a, b);
alter table by_index replica identity using index by_index_key;
create table keyless_there (id int primary key, v text);
insert into item (id, a, b, big) select i, 'a' || i, i, repeat(md5(i::text), 90) from generate_series(1, 150) i;
insert into unkeyed select i % 5, '{"a" : 1}', 'b' || i % 3 from generate_series(1, 100) i;
insert into by_index select i, -i, 'copied' from generate_series(1, 150) i;
insert into keyless_there select i, 'copied' from generate_series(1, 150) i;

-- section: target
create table item (more uuid not null default gen_random_uuid(), big text, g int generated always as (b * 2) stored, b int, gone int, a text, number bigint generated always as identity, id int primary key);
alter table item drop column gone;
create index on item (a);
create table unkeyed (b text, j json, a int, at timestamptz default now());
create table by_index (v text, b int not null, a int not null, primary key (b, a));
create table keyless_there (v text, id int);

-- section: copying
update item set a = null where id <= 10;
delete from unkeyed where ctid in (select ctid from unkeyed where a = 1 limit 3);
update by_index set b = -b where a <= 10;
update keyless_there set v = 'copying' where id <= 10;

-- section: streaming
update item set id = id + 1000 where id > 140;
update unkeyed set b = null where ctid in (select ctid from unkeyed where a = 2 limit 3);
delete from by_index where a > 140;
delete from keyless_there where id > 140;
-- await: applied
insert into item (id, a) select i, 'new' from generate_series(2000, 2100) i;
update item set b = b + 1;
update item set big = null where id % 10 = 0;
update unkeyed set a = a + 1;
update by_index set a = a + 1000, b = b + 5;
update by_index set v = null;
update keyless_there set v = 'streamed', id = id + 1000;
delete from keyless_there where id % 3 = 0;

-- section: compare
select id, a, b, g from column_order.item order by id;
