-- title: a partitioned table is one plain table on the target; objects that depend on it are created there
-- input: {"tables": {"viaPartitionRoot": ["via_root_*.*"]}}
-- section: schema
create table m (id int, k int, v text, big text, n numeric, primary key (id, k)) partition by range (k);
create table m_1 partition of m for values from (0) to (100);
create table m_2 partition of m for values from (100) to (200) partition by hash (id);
create table m_2_0 partition of m_2 for values with (modulus 2, remainder 0);
create table m_2_1 (n numeric, big text, id int not null, gone text, v text, k int not null);
alter table m_2_1 drop column gone;
alter table m_2 attach partition m_2_1 for values with (modulus 2, remainder 1);
create table m_rest partition of m default;
alter table m_1 alter column big set storage external;
alter table m_2_0 alter column big set storage external;
alter table m_2_1 alter column big set storage external;
create index on m (v);
insert into m select i, i % 250, 'copied', repeat(md5(i::text), 90), i from generate_series(1, 600) i;
create table note (id int primary key, m_id int, m_k int, foreign key (m_id, m_k) references m on update cascade on delete cascade);
insert into note select i, i, i from generate_series(1, 40) i;
create view seen as select m.id, m.v, note.id as note from m left join note on (m_id, m_k) = (m.id, m.k);
create table full_row (k int, v text) partition by list (k);
create table full_row_1 partition of full_row for values in (1);
create table full_row_2 partition of full_row for values in (2, null);
alter table full_row_1 replica identity full;
alter table full_row_2 replica identity full;
insert into full_row select i % 2 + 1, 'v' || i % 7 from generate_series(1, 70) i;

-- section: target
create table m (n numeric, k int not null, extra int default 7, id int not null, v text, big text, primary key (k, id));
create table full_row (v text, k int);
create index on full_row (k);

-- section: copying
update m set v = 'copying' where id % 10 = 0;
update m set k = (k + 100) % 250 where id % 10 = 1;
delete from m where id % 50 = 7;
update full_row set k = 3 - k where v = 'v3';
truncate m_rest cascade;
insert into note select id, id, k from m where id < 40;
insert into m values (1000, 240, 'again', 'small', 'NaN'), (1001, 5, 'again', null, null);
-- session: open
begin;
update m set k = (k + 100) % 250 where id between 300 and 320;

-- section: streaming
-- session: open
update m set v = 'open', k = (k + 100) % 250 where id between 310 and 330;
commit;
-- session: main
update m set k = k + 100, id = id + 2000 where k < 100 and id % 3 = 0;
begin;
update m set k = 1 where id = 1001;
update m set k = 150 where id = 1001;
update m set k = 2, v = 'to and fro' where id = 1001;
commit;
update m set n = 'Infinity' where id = 1000;
update full_row set v = 'one of many' where ctid = (select min(ctid) from full_row where k = 1) and k = 1;
delete from full_row where v = 'v5';
update full_row set k = null where v = 'v4';
-- await: applied
update m set k = (k * 7) % 250;
update m set v = 'all';
truncate full_row_1;
insert into full_row values (1, 'again'), (2, 'again');
delete from note;
truncate m_1 cascade;
insert into m select i, i % 100, 'after the truncate', 'x', i from generate_series(3001, 3100) i;
-- await: applied
create table m_3 partition of m for values from (300) to (400);
insert into m select i, 300 + i % 100, 'in a new partition', repeat(md5(i::text), 90), i from generate_series(4001, 4100) i;
update m set k = k - 300 where id between 4001 and 4020;
update m set k = 399 where id between 3001 and 3010;
-- await: applied
truncate m_2_0 cascade;
insert into m select i, 100 + i % 100, 'after a hash partition', 'x', i from generate_series(5001, 5100) i;
-- await: applied
truncate m cascade;
insert into m select i, i % 400, 'last', repeat(md5(i::text), 90), i from generate_series(1, 200) i;
update m set v = 'very last', k = (k + 111) % 400 where id % 2 = 0;
insert into note values (1, 1, 1);

-- section: compare
select count(*), count(note) from via_root_plain.seen;
select count(*) from via_root_plain.note join via_root_plain.m on (m_id, m_k) = (m.id, m.k);
