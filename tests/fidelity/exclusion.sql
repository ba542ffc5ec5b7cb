-- title: exclusion constraints hold, also when ranges move between rows
-- section: schema
create table booking (id int primary key, room int, during int4range, exclude using gist (during with &&) where (room is null));
create table slot (id int primary key, during int4range, constraint no_overlap exclude using gist (during with &&));
create table late (id int primary key, during int4range, exclude using gist (during with &&) deferrable initially deferred);
create table box_of (id int primary key, b box, exclude using gist (b with &&));
create table hashed (id int primary key, k int, exclude using hash (k with =));
insert into booking select i, i % 2, int4range(1, 100) from generate_series(1, 50) i;
insert into booking select 100 + i, null, int4range(i, i + 1) from generate_series(1, 100) i;
insert into slot select i, int4range(i * 10, i * 10 + 10) from generate_series(1, 150) i;
insert into late select i, int4range(i * 10, i * 10 + 10) from generate_series(1, 150) i;
insert into box_of select i, box(point(i * 2, 0), point(i * 2 + 1, 1)) from generate_series(1, 100) i;
insert into hashed select i, i from generate_series(1, 100) i;

-- section: copying
begin;
update slot set during = null where id = 1;
update slot set during = '[10,20)' where id = 2;
update slot set during = '[20,30)' where id = 1;
update late set during = '[20,30)' where id = 1;
update late set during = '[10,20)' where id = 2;
commit;

-- section: streaming
begin;
update slot set during = '[30,35)' where id = 3;
insert into slot values (1000, '[35,40)');
delete from slot where id = 4;
update slot set during = '[40,50)' where id = 5;
commit;
-- fails: 23P01
insert into slot values (1001, '[30,31)');
-- await: applied
begin;
update slot set during = null;
update slot set during = int4range((1001 - id) * 10, (1001 - id) * 10 + 10);
commit;
update late set during = int4range((151 - id) * 10, (151 - id) * 10 + 10);
begin;
delete from box_of;
insert into box_of select i, box(point(i * 2, 0), point(i * 2 + 1, 1)) from generate_series(100, 200) i;
commit;
update hashed set k = k + 1000;
update hashed set k = 1101 - k where id > 50;
update hashed set k = null where id % 9 = 0;
update booking set room = null, during = int4range(id * 1000, id * 1000 + 1) where id < 60;
