-- title: NaN and infinities as keys, and in tables without one (wal2json 2.5 would send them as null)
-- needs: wal2json 2.6
-- section: schema
create table numeric_key (k numeric primary key, n int);
create table float8_key (k float8 primary key, n int);
create table float4_full (v float4, w numeric, n int);
alter table float4_full replica identity full;
insert into numeric_key values ('NaN', 1), ('Infinity', 2), ('-Infinity', 3), (1.10, 4), (0, 5);
insert into float8_key values ('NaN', 1), ('Infinity', 2), ('-Infinity', 3), (0.1, 4), ('-0', 5);
insert into float4_full values ('NaN', 'NaN', 1), (null, null, 1), ('Infinity', '-Infinity', 2), (null, 'NaN', 3);
insert into float4_full select * from float4_full;

-- section: copying
update numeric_key set n = n + 10;
delete from float8_key where k = 'NaN';
update float4_full set n = n + 10 where v = 'NaN';

-- section: streaming
delete from numeric_key where k = 'Infinity';
update numeric_key set k = 'Infinity' where k = 'NaN';
insert into float8_key values ('NaN', 6);
update float8_key set k = 7 where k = '-Infinity';
delete from float4_full where ctid = (select min(ctid) from float4_full where v is null and w is null);
update float4_full set v = 'NaN' where w = '-Infinity';
