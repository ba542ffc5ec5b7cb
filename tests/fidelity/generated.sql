-- title: generated columns are computed on the target, at any position and with any value
-- section: schema
create type pair as (a int, b text);
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create table middle (id int primary key, a int, twice int generated always as (twice(a)) stored, v text);
create table front (g text generated always as (upper(v)) stored, id int primary key, v text);
create table only_generated (g int generated always as (1) stored);
alter table only_generated replica identity full;
create table typed (id int primary key, v text, b bytea generated always as (decode(md5(v), 'hex')) stored,
  s tsvector generated always as (to_tsvector('simple', v)) stored, f float8 generated always as ('NaN'::float8 * id) stored,
  n numeric generated always as (case when id % 2 = 0 then 'NaN'::numeric end) stored, t boolean generated always as (v is null) stored not null);
create table unequal (id int primary key, v text, g text generated always as (repeat(v, 1000)) stored);
alter table unequal alter column g set storage external;
create table full_one (v text, g text generated always as (v || '!') stored);
alter table full_one replica identity full;
create table parted (id int, v text, g int generated always as (length(v)) stored, primary key (id)) partition by range (id);
create table parted_1 partition of parted for values from (1) to (100);
create table parted_2 partition of parted for values from (100) to (1000);
insert into middle (id, a, v) select i, i, 'copied' from generate_series(1, 150) i;
insert into front (id, v) select i, 'copied ' || i from generate_series(1, 150) i;
insert into only_generated select from generate_series(1, 60);
insert into typed (id, v) select i, case when i % 5 > 0 then 'copied word ' || i end from generate_series(1, 150) i;
insert into unequal (id, v) select i, md5(i::text) from generate_series(1, 80) i;
insert into full_one select 'copied ' || i % 10 from generate_series(1, 100) i;
insert into parted select i, 'copied' from generate_series(1, 150) i;

-- section: copying
update middle set a = null where id <= 10;
update front set v = 'copying' where id <= 10;
delete from only_generated where ctid in (select ctid from only_generated limit 5);
update typed set v = 'copying' where id <= 10;
update unequal set v = 'x' where id <= 5;

-- section: streaming
update middle set a = -a where id > 100;
insert into only_generated default values;
delete from only_generated where ctid in (select ctid from only_generated limit 5);
-- await: applied
insert into middle (id, a) select i, i from generate_series(1000, 1100) i;
update middle set a = a + 1, v = 'streamed';
update front set v = v || '.';
insert into only_generated select from generate_series(1, 80);
delete from only_generated where ctid in (select ctid from only_generated limit 60);
update typed set v = case when id % 3 = 0 then null else 'streamed ' || id end;
update typed set id = -id;
update unequal set id = id + 1000;
update unequal set v = 'y' where id % 2 = 0;
update full_one set v = 'streamed' where v like '%1';
delete from full_one where ctid in (select ctid from full_one where g = 'copied 2!' limit 4);
update parted set id = id + 400, v = 'moved about';
