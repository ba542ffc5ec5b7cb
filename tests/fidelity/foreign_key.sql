-- title: foreign keys: to itself, in a circle, deferred, with actions, to partitions; rows in any order
-- section: schema
create table tree (id int primary key, parent int references tree on delete cascade, v text);
create table hen (id int primary key, egg int not null);
create table egg (id int primary key, hen int not null references hen deferrable initially deferred);
alter table hen add constraint hen_egg foreign key (egg) references egg deferrable initially deferred;
create table owner (id int primary key, code text unique, v text);
create table cascaded (id int primary key, owner_id int references owner on delete cascade on update cascade);
create table nulled (id int primary key, owner_id int references owner on delete set null on update cascade);
create table defaulted (id int primary key, owner_id int default 1 references owner on delete set default);
create table by_code (id int primary key, code text references owner (code) on update cascade on delete set null);
create table two (a int, b int, primary key (a, b));
create table part (id int primary key, a int, b int, foreign key (a, b) references two match full on delete set null (a, b));
create table spread (id int, k int, primary key (id, k)) partition by list (k);
create table spread_1 partition of spread for values in (1);
create table spread_2 partition of spread for values in (2);
create table to_spread (id int primary key, s int, k int, foreign key (s, k) references spread on update cascade);
create table unchecked (id int primary key, owner_id int);
insert into unchecked values (1, 99999);
alter table unchecked add constraint not_checked foreign key (owner_id) references owner not valid;
insert into tree select i, nullif(i / 2, 0), 'copied' from generate_series(1, 200) i;
begin;
insert into hen select i, i from generate_series(1, 100) i;
insert into egg select i, i from generate_series(1, 100) i;
commit;
insert into owner select i, 'c' || i, 'copied' from generate_series(1, 150) i;
insert into cascaded select i, i from generate_series(1, 150) i;
insert into nulled select i, i from generate_series(1, 150) i;
insert into defaulted select i, i from generate_series(1, 150) i where i not between 30 and 35 and i not between 6 and 9;
insert into by_code select i, 'c' || i from generate_series(1, 150) i;
insert into two select i, i from generate_series(1, 100) i;
insert into part select i, i, i from generate_series(1, 100) i;
insert into spread select i, 1 + i % 2 from generate_series(1, 100) i;
insert into to_spread select i, i, 1 + i % 2 from generate_series(1, 100) i;

-- section: copying
delete from tree where id = 90;
insert into tree select i, i - 1, 'copying' from generate_series(201, 210) i;
begin;
insert into hen values (1000, 1000);
insert into egg values (1000, 1000);
commit;
delete from owner where id between 2 and 5;
update owner set id = id + 1000 where id between 6 and 9;
update owner set code = code || 'x' where id between 10 and 12;

-- section: streaming
update tree set parent = 1 where id = 200;
update tree set parent = id where id = 150;
delete from owner where id between 20 and 25;
update owner set id = id + 1000, code = null where id between 30 and 35;
delete from two where a < 5;
update spread set k = 3 - k where id <= 10;
-- await: applied
delete from tree where id = 3;
insert into tree select i, case when i < 400 then i + 1 end, 'backwards' from generate_series(300, 400) i;
begin;
update hen set egg = egg % 100 + 1 where id <= 100;
update egg set hen = hen % 100 + 1 where id <= 100;
delete from hen where id between 50 and 60;
delete from egg where id between 50 and 60;
update egg set hen = 1 where hen between 50 and 60;
update hen set egg = 1 where egg between 50 and 60;
commit;
delete from owner where id between 50 and 149;
insert into owner values (50, 'again', 'again');
insert into cascaded values (50, 50);
delete from two;
update spread set k = 3 - k;
truncate tree;
insert into tree values (1, 1, 'alone');
-- fails: 23503
insert into tree values (2, 3, 'no such parent');

-- section: compare
select count(*), count(owner_id) from foreign_key.nulled;
