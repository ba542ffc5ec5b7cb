-- title: rows swap unique values: through a temporary value, and with deferrable constraints
-- section: schema
create table plain (id int primary key, u int unique, v text);
create table late (id int primary key, u int unique deferrable initially deferred, v text);
create table statementwise (id int primary key, u int not null unique deferrable, v text);
create table pairs (id int primary key, u int, w text, unique (u, w), unique (w) deferrable);
create table partial (id int primary key, u int, active bool);
create unique index on partial (u) where active;
create unique index on partial ((u * 2)) where not active;
create table nulls_equal (id int primary key, u int unique nulls not distinct);
insert into plain select i, i, 'copied' from generate_series(1, 200) i;
insert into late select i, i, 'copied' from generate_series(1, 200) i;
insert into statementwise select i, i, 'copied' from generate_series(1, 200) i;
insert into pairs select i, i, 'w' || i from generate_series(1, 200) i;
insert into partial select i, i / 2, i % 2 = 0 from generate_series(2, 200) i;
insert into nulls_equal select i, i from generate_series(1, 100) i;

-- section: copying
begin;
update plain set u = null where id = 1;
update plain set u = 1 where id = 2;
update plain set u = 2 where id = 1;
update late set u = 2 where id = 1;
update late set u = 1 where id = 2;
commit;
update statementwise set u = u + 1;

-- section: streaming
begin;
update plain set u = -1 where id = 10;
update plain set u = 10 where id = 11;
update plain set u = 11 where id = 10;
update late set u = 11 where id = 10;
update late set u = 10 where id = 11;
update nulls_equal set u = null where id = 1;
update nulls_equal set u = 1 where id = 2;
update nulls_equal set u = 2 where id = 1;
update nulls_equal set u = null where id = 3;
commit;
update statementwise set u = 203 - u;
-- await: applied
begin;
update plain set u = -u;
update plain set u = 201 + u where id > 2;
commit;
update late set u = 201 - u;
begin;
set constraints all deferred;
update statementwise set u = 7;
update statementwise set u = id;
update pairs set w = 'w' || 201 - id;
update pairs set u = 201 - u, w = w || 'x';
commit;
update partial set active = null;
update partial set active = id % 2 = 1;
begin;
delete from partial where id % 10 = 0;
update partial set u = u + 1000 where id % 10 = 1;
insert into partial select i, i / 2, true from generate_series(10, 200, 10) i where i / 2 not in (select u from partial where active);
commit;
begin;
update nulls_equal set u = u + 1000;
update nulls_equal set u = 1101 - u;
commit;
