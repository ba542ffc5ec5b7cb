-- title: a row inserted, updated and deleted in one transaction, in every combination
-- section: schema
create table item (id int primary key, v text, n int default 5, big text);
alter table item alter column big set storage external;
create table plain (v text, n int);
alter table plain replica identity full;
insert into item select i, 'copied', i, repeat(md5(i::text), 90) from generate_series(1, 200) i;
insert into plain select 'copied', i % 3 from generate_series(1, 50) i;

-- section: copying
begin;
insert into item values (1000, 'in', 1, null);
update item set v = 'up' where id = 1000;
delete from item where id = 1000;
update item set v = 'up' where id = 1;
delete from item where id = 1;
insert into item (id, v) values (1, 'again');
delete from item where id = 2;
insert into item (id, v) values (2, 'in');
delete from item where id = 2;
commit;

-- section: streaming
begin;
insert into item values (1000, 'in', 1, repeat('x', 9000));
update item set n = 2 where id = 1000;
update item set id = 1001 where id = 1000;
insert into item values (1000, 'second', 1, repeat('y', 9000));
delete from item where id = 1001;
update item set v = 'last' where id = 1000;
insert into plain values ('in', 1), ('in', 1), ('in', 1);
update plain set n = 2 where v = 'in';
delete from plain where ctid = (select ctid from plain where v = 'in' limit 1);
commit;
-- await: applied
begin;
insert into item select i, 'in', 1, repeat('x', 3000) from generate_series(2000, 2099) i;
update item set n = 2 where id between 2000 and 2099;
delete from item where id between 2000 and 2049;
update item set v = 'up', id = id + 1000 where id between 2050 and 2060;
delete from item where id between 100 and 199;
insert into item select i, 'again', 3 from generate_series(150, 199) i;
update item set n = n + 1 where id between 150 and 170;
delete from item where id between 160 and 165;
update item set id = id + 10000 where id between 10 and 90;
update item set n = -1 where id > 10000;
delete from item where id between 10050 and 10060;
update item set id = id - 10000 where id between 10010 and 10020;
insert into plain select 'many', 1 from generate_series(1, 100);
update plain set n = n + 1;
delete from plain where n = 2;
commit;
-- await: applied
delete from item where id = 50;
insert into item values (50, 'reborn', null, null);
delete from item where id = 50;
insert into item (id) values (50);
do $$ begin for i in 1..80 loop
  delete from item where id = i; insert into item (id, v) values (i, 'reborn ' || i);
  update item set n = i where id = i and i % 2 = 0; commit;
end loop; end $$;
