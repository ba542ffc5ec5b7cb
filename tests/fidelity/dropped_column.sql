-- title: dropped columns leave gaps in the numbering; keys, partitions and generated columns after them are found
-- section: schema
create table item (gone1 int, id int, gone2 text, v text, gone3 int, n int, gone4 int);
insert into item select i, i, 'x', 'copied', i, i, i from generate_series(1, 150) i;
alter table item drop column gone1, drop column gone2, drop column gone3, drop column gone4;
alter table item add primary key (id);
alter table item add column late text default 'late', add column g int generated always as (n * 2) stored;
create table unkeyed (gone int, a int, b json);
insert into unkeyed select i, i % 5, '{}' from generate_series(1, 100) i;
alter table unkeyed drop column gone;
alter table unkeyed replica identity full;
create table by_index (gone int, a int not null, gone2 int, b int not null, v text);
insert into by_index select i, i, i, i, 'copied' from generate_series(1, 150) i;
alter table by_index drop column gone, drop column gone2;
create unique index by_index_key on by_index (b, a);
alter table by_index replica identity using index by_index_key;
create table parted (gone int, id int, v text) partition by range (id);
alter table parted drop column gone;
alter table parted add column more int;
create table parted_same partition of parted for values from (0) to (100);
create table parted_other (more int, x text, v text, id int not null);
alter table parted_other drop column x;
alter table parted attach partition parted_other for values from (100) to (1000);
alter table parted add primary key (id);
insert into parted select i, 'copied', i from generate_series(1, 200) i;
create table nothing_left (a int);
insert into nothing_left select generate_series(1, 60);
alter table nothing_left drop column a;
alter table nothing_left replica identity full;
insert into nothing_left default values;

-- section: copying
update item set n = 0 where id <= 10;
update parted set id = id + 500 where id between 80 and 90;
insert into nothing_left default values;

-- section: streaming
update item set v = null, id = id + 1000 where id > 140;
delete from by_index where a < 10;
delete from unkeyed where ctid in (select ctid from unkeyed where a = 1 limit 3);
-- await: applied
update item set late = null, n = n + 1;
update unkeyed set a = a + 1, b = '{"a":1}';
update by_index set a = a + 1000;
update by_index set v = 'streamed';
update parted set v = 'streamed', more = null where id > 20;
update parted set id = id + 300 where id between 30 and 99;
insert into nothing_left select from generate_series(1, 70);
