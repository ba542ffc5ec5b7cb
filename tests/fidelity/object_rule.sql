-- title: rules of every state act once, on the source, and keep their state on the target
-- section: schema
create table log (id int generated always as identity primary key, what text);
create table item (id int primary key, n int);
create rule ordinary as on insert to item where new.n > 0 do also insert into log (what) values ('inserted');
create rule always as on update to item do also insert into log (what) values ('updated');
create rule replica as on delete to item do also insert into log (what) values ('deleted, replica only');
create rule off as on delete to item do instead nothing;
create rule skip as on insert to item where new.n < 0 do instead nothing;
alter table item enable always rule always, enable replica rule replica, disable rule off;
create table entry (id int primary key, n int);
create rule redirect as on insert to entry do instead insert into item values (new.id + 1000, new.n);
insert into item select i, i from generate_series(1, 30) i;

-- section: copying
insert into item values (101, 1), (102, -1);
update item set n = n + 1 where id < 10;
insert into entry values (1, 1);

-- section: streaming
insert into item values (201, 1), (202, -1), (203, 0);
update item set n = n + 1 where id > 20;
delete from item where id in (5, 201);
insert into entry values (2, 2);
update item set id = 5000 where id = 6;

-- section: compare
select what, count(*) from object_rule.log group by 1 order by 1;
