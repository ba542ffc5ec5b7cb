-- title: prepared transactions arrive when they are committed, and not when they are rolled back
-- section: schema
create table item (id int primary key, v text, big text);
alter table item alter column big set storage external;
create table other (id int primary key, v text);
insert into item select i, 'copied', repeat(md5(i::text), 100) from generate_series(1, 200) i;
insert into other select i, 'copied' from generate_series(1, 20) i;

-- section: copying
begin;
update item set v = 'prepared while copying' where id <= 60;
insert into item values (1000, 'prepared', 'x');
prepare transaction 'prepared_transaction one';
begin;
delete from item where id between 61 and 80;
prepare transaction 'prepared_transaction lost';
begin;
update item set v = 'both while copying' where id between 81 and 140;
savepoint a;
delete from item where id > 180;
rollback to savepoint a;
savepoint b;
update item set id = id + 2000 where id between 181 and 190;
prepare transaction 'prepared_transaction two';
commit prepared 'prepared_transaction two';
begin;
truncate other;
insert into other values (1, 'after a prepared truncate');
prepare transaction 'prepared_transaction truncate';
commit prepared 'prepared_transaction truncate';

-- section: streaming
commit prepared 'prepared_transaction one';
rollback prepared 'prepared_transaction lost';
begin;
update item set id = id + 5000 where id <= 70;
delete from item where id = 100;
insert into item values (100, 'another', null);
update other set v = 'streamed';
prepare transaction 'prepared_transaction three';
insert into item values (1001, 'between', null);
-- await: applied
commit prepared 'prepared_transaction three';
begin;
insert into item values (1002, 'never', null);
prepare transaction 'prepared_transaction four';
rollback prepared 'prepared_transaction four';

-- section: compare
select count(*), md5(string_agg(id || v, ',' order by id)) from prepared_transaction.item;
