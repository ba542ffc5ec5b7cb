-- title: transactions over many tables and of overlapping writers arrive whole and in commit order
-- section: schema
create table account (id int primary key, balance int not null);
create table entry (id bigint generated always as identity primary key, account_id int not null references account, amount int);
create table audit (id int primary key, n int);
insert into account select i, 1000 from generate_series(1, 100) i;
insert into audit values (1, 0);

-- section: copying
begin;
update account set balance = balance - 10 where id = 1;
update account set balance = balance + 10 where id = 2;
insert into entry (account_id, amount) values (1, -10), (2, 10);
update audit set n = n + 1;
commit;
-- session: other
begin;
update account set balance = balance - 100 where id = 50;
-- session: main
begin;
update account set balance = balance + 1 where id = 51;
insert into entry (account_id, amount) values (51, 1);
-- session: other
insert into entry (account_id, amount) values (50, -100);
-- session: main
commit;

-- section: streaming
update account set balance = balance + 5 where id = 60;
-- session: other
update account set balance = balance + 100 where id = 60;
commit;
-- session: a
begin isolation level serializable;
update account set balance = balance + 1 where id <= 50;
insert into entry (account_id, amount) select id, 1 from account where id <= 50;
-- session: b
begin isolation level repeatable read;
update account set balance = balance * 2 where id > 50;
insert into entry (account_id, amount) select id, balance from account where id > 50;
-- session: c
insert into account values (500, 0);
insert into entry (account_id, amount) values (500, 0);
-- session: b
commit;
-- session: c
update account set balance = balance - 7 where id > 70;
delete from entry where account_id > 90;
delete from account where id > 90 and id < 500;
-- session: a
update account set balance = balance - 1 where id <= 10;
commit;
-- session: main
begin;
set local synchronous_commit = off;
update audit set n = n + 1;
commit;
do $$ begin for i in 1..100 loop
  update audit set n = n + 1;
  insert into entry (account_id, amount) values (1 + i % 50, i);
  commit;
end loop; end $$;

-- section: compare
select sum(balance) from transaction.account;
