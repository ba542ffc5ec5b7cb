-- title: inherited tables: parents with rows of their own, the same keys in parent and child, several parents
-- section: schema
create table city (id int primary key, name text, v text default 'city', constraint named check (name <> '') );
create table capital (country text, primary key (id)) inherits (city);
create table metropolis (size int, primary key (id)) inherits (capital);
create table place (id int not null, pos point);
alter table place replica identity full;
create table town (primary key (id)) inherits (city, place);
create table alike (id int primary key, name text, v text, extra text);
alter table alike add constraint named check (name <> '');
alter table alike inherit city;
insert into city select i, 'city ' || i from generate_series(1, 100) i;
insert into capital select i, 'capital ' || i, 'v', 'x' from generate_series(1, 100) i;
insert into metropolis select i, 'metropolis ' || i, 'v', 'x', i from generate_series(1, 100) i;
insert into place select i % 10, '(1,2)' from generate_series(1, 60) i;
insert into town select i, 'town ' || i, 'v', '(3,4)' from generate_series(1, 100) i;
insert into alike select i, 'alike ' || i, 'v', 'e' from generate_series(1, 100) i;

-- section: copying
update only city set v = 'only the parent' where id <= 10;
update city set v = 'all of them' where id between 11 and 20;
delete from only capital where id between 21 and 25;
delete from city where id between 26 and 28;

-- section: streaming
update only city set v = 'parent again' where id between 30 and 32;
delete from only city where id = 33;
update capital set country = null where id = 34;
update place set pos = '(5,6)' where id = 3;
-- await: applied
update city set v = v || '.';
update only city set id = id + 1000;
update capital set id = id + 2000;
delete from town where id % 2 = 0;
delete from only place where ctid in (select ctid from only place where id = 4 limit 2);
update only place set id = id + 100;
truncate only capital;
insert into capital select i, 'new ' || i, 'v', 'y' from generate_series(1, 60) i;

-- section: compare
select tableoid::regclass::text, count(*), sum(id) from inherited.city group by 1 order by 1;
