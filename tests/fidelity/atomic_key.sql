-- title: a BEGIN ATOMIC function that relies on a primary key, and what uses it: default, view, check, index, generated column
-- section: schema
create table t (id int primary key, name text, n int);
create function names(i int) returns text language sql stable begin atomic select t.name from t where t.id = i group by t.id; end;
create function plus(i int) returns int language sql immutable return i + 1;
create view named as select id, names(id) as name from t;
create table u (id int primary key, v text default names(1), w int default plus(4), x int generated always as (plus(w)) stored, check (plus(w) > 0));
create index u_plus on u (plus(w));
create materialized view m as select u.id, names(u.id) as name from u;
create function uses_view() returns bigint language sql stable begin atomic select count(*) from named; end;
create view over as select uses_view() as n;
insert into t select i, 'name ' || i, i from generate_series(1, 50) i;
insert into u (id) select i from generate_series(1, 50) i;
refresh materialized view m;

-- section: copying
insert into u (id, v) values (101, 'x');

-- section: streaming
insert into t values (201, 'late', 1);
insert into u (id) select 200 + i from generate_series(1, 20) i;
update t set name = upper(name) where id < 10;
-- A refresh leaves no change in the stream; the cutover refreshes the target's.
refresh materialized view m;

-- section: compare
select * from atomic_key.named order by id;
select * from atomic_key.m order by id;
select n from atomic_key.over;
