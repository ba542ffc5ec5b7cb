-- title: TRUNCATE of a partitioned table, of one partition, and of a parent with children
-- section: schema
create table root (id int, v text, primary key (id)) partition by range (id);
create table root_low partition of root for values from (minvalue) to (100);
create table root_high partition of root for values from (100) to (maxvalue) partition by hash (id);
create table root_high_0 partition of root_high for values with (modulus 2, remainder 0);
create table root_high_1 partition of root_high for values with (modulus 2, remainder 1);
create table detail (id int primary key, root_id int references root);
create table parent (id int primary key, v text);
create table child (extra text, primary key (id)) inherits (parent);
create table other (id int primary key, v text);
insert into root select i, 'copied' from generate_series(1, 200) i;
insert into detail select i, i from generate_series(1, 200) i;
insert into parent select i, 'copied' from generate_series(1, 60) i;
insert into child select i, 'copied', 'x' from generate_series(1, 60) i;
insert into other select i, 'copied' from generate_series(1, 60) i;

-- section: copying
update root set v = 'updated' where id % 3 = 0;
delete from detail where root_id % 2 = 0;
truncate root_high_1 cascade;
insert into root values (1000, 'again'), (1001, 'again');

-- section: streaming
truncate root, detail;
insert into root select i, 'second' from generate_series(50, 150) i;
insert into detail select i, i from generate_series(50, 150) i;
-- await: applied
delete from detail;
truncate root_low cascade;
insert into root values (5, 'third');
truncate root_high cascade;
insert into root select i, 'fourth' from generate_series(100, 170) i;
-- await: applied
truncate root cascade;
insert into root select i, 'fifth' from generate_series(1, 170) i;
insert into detail values (1, 1);
truncate only parent;
insert into parent values (1, 'in the parent');
-- await: applied
truncate parent, other;
insert into parent select i, 'again' from generate_series(1, 55) i;
insert into child select i, 'again', 'y' from generate_series(1, 55) i;
truncate child;
insert into child values (1, 'last', 'z');
