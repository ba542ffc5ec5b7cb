-- title: transactions that were prepared or open before the migration started are waited for, and arrive whole
-- section: schema
create table item (id int primary key, v text, big text);
alter table item alter column big set storage external;
insert into item select i, 'copied', repeat(md5(i::text), 100) from generate_series(1, 200) i;
begin;
update item set v = 'prepared before' where id <= 50;
insert into item values (1000, 'prepared before', repeat('p', 5000));
delete from item where id between 51 and 60;
prepare transaction 'prepared_before one';
begin;
update item set v = 'never' where id between 61 and 70;
prepare transaction 'prepared_before lost';
-- session: long
begin;
update item set id = id + 2000, v = 'open before' where id between 101 and 120;

-- section: starting
-- the slot waits for all three; what another session does at the same time does not concern them
update item set v = 'while it waits' where id between 130 and 140;
rollback prepared 'prepared_before lost';
commit prepared 'prepared_before one';
begin;
update item set v = 'both before' where id <= 20;
prepare transaction 'prepared_before two';
commit prepared 'prepared_before two';
-- session: long
savepoint a;
delete from item where id > 2110;
rollback to savepoint a;
commit;

-- section: copying
update item set v = v || ' and copying' where id in (1, 40, 1000, 2101, 135);

-- section: streaming
update item set v = v || ' and streamed' where id % 3 = 0;
delete from item where id = 1000;

-- section: compare
select count(*), md5(string_agg(id || v || coalesce(big, ''), ',' order by id)) from prepared_before.item;
