-- title: a table partitioned on the source and not on the target is refused when the operator did not say so
-- expect: preflight target-mixed
-- section: schema
create table item (id int primary key, v text) partition by range (id);
create table item_1 partition of item for values from (0) to (100);
create table item_2 partition of item for values from (100) to (200);
insert into item select i, 'source' from generate_series(1, 150) i;

-- section: target
create table item (id int primary key, v text);
