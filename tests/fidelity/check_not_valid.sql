-- title: rows that a NOT VALID check of a table or domain rejects are copied and updated, and the check exists after the cutover
-- section: schema
create domain code as text;
create table t (id int primary key, v code, n int);
create table parts (id int primary key, v text) partition by range (id);
create table parts_low partition of parts for values from (0) to (100);
insert into t select i, case when i % 10 = 0 then 'bad' else 'ok' end, i from generate_series(1, 200) i;
insert into parts values (1, 'bad'), (2, 'ok');
alter domain code add constraint good check (value <> 'bad') not valid;
comment on constraint good on domain code is 'for new rows';
alter table t add constraint "Small; n" check (n < 100) not valid;
comment on constraint "Small; n" on t is 'for new rows';
alter table parts add constraint good check (v <> 'bad') not valid;

-- section: copying
update t set n = 0 where id between 10 and 20;
delete from t where id = 150;

-- section: streaming
update t set n = 2 where id = 30;
update t set n = 3 where id between 40 and 200;
-- fails: 23514
insert into t values (1000, 'bad', 1);
-- fails: 23514
update t set n = 200 where id = 1;
update parts set id = 50 where id = 2;
