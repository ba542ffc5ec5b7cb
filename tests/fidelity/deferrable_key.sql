-- title: a deferrable primary key with REPLICA IDENTITY FULL: one statement moves a whole column of keys
-- section: schema
create table queue (pos int primary key deferrable, v text);
alter table queue replica identity full;
create table late (pos int, part text, v text, primary key (pos, part) deferrable initially deferred);
alter table late replica identity full;
create table beside (id int not null unique, pos int primary key deferrable, v text);
alter table beside replica identity using index beside_id_key;
insert into queue select i, 'v' || i % 5 from generate_series(1, 150) i;
insert into late select i, 'p', 'v' from generate_series(1, 150) i;
insert into beside select i, i, 'v' from generate_series(1, 150) i;

-- section: copying
update queue set pos = pos + 1;
update late set pos = pos + 1;
update beside set pos = pos + 1;

-- section: streaming
update queue set pos = 40 - pos where pos between 10 and 30;
delete from queue where pos = 2;
-- await: applied
update queue set pos = pos - 1;
update queue set pos = 160 - pos, v = v || '.';
update late set pos = pos - 1;
begin;
update late set pos = 5, part = 'q' where pos > 100;
update late set v = 'all the same';
delete from late where ctid in (select ctid from late where pos = 5 and part = 'q' limit 20);
update late set pos = n, part = 'r' from (select ctid as at, row_number() over () as n from late where part = 'q') q where q.at = late.ctid;
commit;
update beside set pos = 152 - pos + 1;
insert into queue values (1000, 'end');
