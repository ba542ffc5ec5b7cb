-- title: a transaction that spans the copy arrives whole, and so does a prepared one
-- section: schema
create table item (id int primary key, v text);
insert into item select i, 'copied' from generate_series(1, 100) i;

-- section: copying
-- session: long
begin;
update item set v = 'long' where id <= 10;
savepoint a;
delete from item where id > 90;
rollback to savepoint a;
-- session: main
-- fails: 23505
insert into item values (50, 'a duplicate');
begin;
update item set v = 'prepared' where id between 11 and 20;
prepare transaction 'open_transaction';

-- section: streaming
-- session: long
insert into item values (1000, 'long');
commit;
-- session: main
commit prepared 'open_transaction';
-- await: applied
update item set v = v || ' and later' where id % 2 = 0;

-- section: compare
select count(*), min(v), max(v) from open_transaction.item;
