-- title: rows that move between partitions keep their large values, and are there once
-- section: schema
create table moved (id int, k int, n int, big text, u int, primary key (id, k)) partition by list (k);
create table moved_0 partition of moved for values in (0);
create table moved_1 (big text, u int, k int not null, n int, id int not null);
alter table moved attach partition moved_1 for values in (1);
create table moved_2 partition of moved for values in (2) partition by range (id);
create table moved_2_low partition of moved_2 for values from (minvalue) to (50);
create table moved_2_high partition of moved_2 for values from (50) to (maxvalue);
alter table moved alter column big set storage external;
alter table moved_0 alter column big set storage external;
alter table moved_1 alter column big set storage external;
alter table moved_2_low alter column big set storage external;
alter table moved_2_high alter column big set storage external;
create unique index on moved (u, k, id);
insert into moved select i, i % 3, i, repeat(md5(i::text), 90), i from generate_series(1, 150) i;

-- section: copying
update moved set k = (k + 1) % 3 where id <= 30;
begin;
update moved set k = 0 where id between 31 and 40;
update moved set k = 1 where id between 31 and 40;
update moved set n = -n where id between 31 and 40;
commit;
truncate moved_2_high;
-- session: open
begin;
update moved set k = (k + 2) % 3 where id between 41 and 50;

-- section: streaming
-- session: open
update moved set k = (k + 2) % 3 where id between 45 and 60;
commit;
-- session: main
update moved set k = (k + 1) % 3, id = id + 1000 where id between 61 and 70;
begin;
update moved set k = (k + 1) % 3 where id = 1;
update moved set k = (k + 1) % 3 where id = 1;
update moved set k = (k + 1) % 3 where id = 1;
commit;
-- await: applied
update moved set k = (k + 1) % 3;
update moved set n = n + 1, id = 500 - id where k = 2;
update moved set k = (k + 1) % 3;
update moved set k = (k + 1) % 3;
update moved set n = n * 2;
