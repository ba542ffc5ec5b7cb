-- title: a unique index as replica identity identifies rows, beside or instead of a primary key
-- section: schema
create table instead (a int not null, b text not null, v text);
create unique index instead_key on instead (b, a);
alter table instead replica identity using index instead_key;
create table beside (id int primary key, code text not null, v text);
create unique index beside_code on beside (code);
alter table beside replica identity using index beside_code;
create table constrained (id int, code int not null, w int, v text, constraint constrained_code unique (code) include (w));
alter table constrained replica identity using index constrained_code;
create table computed (a int not null, b int not null, s int generated always as (a + b) stored not null, v text);
create unique index computed_s on computed (s);
alter table computed replica identity using index computed_s;
create table computed_key (a int, s text generated always as (a || ' of all') stored primary key, v text);
insert into instead select i, 'b' || i, 'copied' from generate_series(1, 150) i;
insert into beside select i, 'c' || i, 'copied' from generate_series(1, 150) i;
insert into constrained select null, i, i, 'copied' from generate_series(1, 150) i;
insert into computed (a, b, v) select i, i, 'copied' from generate_series(1, 150) i;
insert into computed_key (a, v) select i, 'copied' from generate_series(1, 150) i;

-- section: copying
update instead set v = 'copying', a = a + 1000 where a <= 20;
update beside set id = id + 1000 where id <= 20;
update constrained set code = code + 1000, w = null where code <= 20;
update computed set a = a + 1000, v = 'copying' where b <= 20;
update computed_key set a = a + 1000 where a <= 20;

-- section: streaming
delete from instead where a % 3 = 0;
delete from beside where id % 3 = 0;
delete from constrained where code % 3 = 0;
delete from computed where b % 3 = 0;
delete from computed_key where a % 3 = 0;
-- await: applied
update instead set b = 'x' || b;
update instead set v = 'streamed';
update beside set code = 'x' || code;
update beside set v = 'streamed', id = id + 5000;
update constrained set code = code + 5000;
update constrained set v = 'streamed', id = code;
update computed set a = a + 5000;
update computed set v = 'streamed';
update computed_key set a = a + 5000;
update computed_key set v = 'streamed';
-- await: applied
update instead set a = a + 1 where a % 10 = 0;
update beside set code = code || id where id % 10 = 0;
update computed set b = b + 20000, v = 'few' where a % 10 = 0;
update computed_key set a = a + 20000, v = 'few' where a % 10 = 0;
