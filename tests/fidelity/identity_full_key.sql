-- title: REPLICA IDENTITY FULL beside a primary key or a unique index
-- section: schema
create table keyed (id int primary key, j json, big text, n numeric);
alter table keyed replica identity full;
alter table keyed alter column big set storage external;
create table by_index (a int not null, b int not null, v text, unique (b, a));
alter table by_index replica identity full;
insert into keyed select i, '{"a" : 1}', repeat('x', 5000), i from generate_series(1, 150) i;
insert into by_index select i, i % 3, null from generate_series(1, 150) i;

-- section: copying
update keyed set n = n + 0.50 where id <= 20;
update by_index set b = b + 3 where a <= 20;

-- section: streaming
update keyed set id = id + 1000 where id <= 10;
delete from by_index where a between 11 and 20;
-- await: applied
update keyed set id = id + 10000;
update keyed set j = null;
update by_index set b = b + 10;
update by_index set v = 'streamed', a = -a;
delete from keyed where id % 3 = 0;
delete from by_index where a % 3 = 0;
