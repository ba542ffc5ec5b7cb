-- title: tables without a key (REPLICA IDENTITY FULL) keep their duplicates, nulls and json exactly
-- section: schema
create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table duplicates (a int, b text);
create table documents (j json, b jsonb, t text, x xml, p point);
create table nulls (a int, b text, c bool);
create table indexed (a int, b text, c char(5), d varchar(5));
create index on indexed (a);
create index on indexed using hash (b);
create table folded (t text collate blind, n int);
create index on folded (t);
create table nullable_key (a int unique, b int, v text);
create table large (n int, big text);
alter table large alter column big set storage external;
create table computed (a int, b int generated always as (a * 2) stored);
create table counted (a int, id int generated always as identity);
create table quoted (a text[], r int4range, i interval, ts timestamptz, by bytea);
alter table duplicates replica identity full;
alter table documents replica identity full;
alter table nulls replica identity full;
alter table indexed replica identity full;
alter table folded replica identity full;
alter table nullable_key replica identity full;
alter table large replica identity full;
alter table computed replica identity full;
alter table counted replica identity full;
alter table quoted replica identity full;
insert into duplicates select i % 5, 'same ' || i % 5 from generate_series(1, 200) i;
insert into documents select d.j::json, d.j::jsonb, d.j, '<a>x</a>', '(1,2)' from generate_series(1, 30) i,
  (values ('{"a":1}'), ('{"a": 1}'), ('{ "a":1}'), ('{"a":1,"a":2}'), ('{"a":1.0}'), ('null'), ('"null"'), ('[1, 2]'), (null)) d (j);
insert into nulls select case when i % 2 = 0 then i % 3 end, case when i % 3 = 0 then '' end, case i % 4 when 0 then true when 1 then false end
  from generate_series(1, 200) i;
insert into indexed select i % 20, 'b' || i % 10, 'c' || i % 3, case when i % 4 > 0 then 'd  ' end from generate_series(1, 200) i;
insert into folded select case i % 4 when 0 then 'word' when 1 then 'Word' when 2 then 'WORD' else 'wórd' end, i % 2 from generate_series(1, 200) i;
insert into nullable_key select case when i % 2 = 0 then i end, i % 7, 'copied' from generate_series(1, 200) i;
insert into large select i % 4, repeat(chr(64 + i % 4), 20000) from generate_series(1, 40) i;
insert into computed select i % 10 from generate_series(1, 100) i;
insert into counted (a) select i % 10 from generate_series(1, 100) i;
insert into quoted select array['a,"b' || i % 3, null, ''], int4range(1, i % 9 + 2), i % 5 * interval '1 day 25 h', '2020-01-01'::timestamptz + i % 3 * interval '1 us', '\x00ff'
  from generate_series(1, 100) i;

-- section: copying
delete from duplicates where ctid in (select ctid from duplicates where a = 1 limit 7);
update documents set t = 'copying' where ctid in (select ctid from documents where j::text = '{"a": 1}' limit 5);
update nulls set b = 'copying' where a is null and c;
update folded set n = 9 where t collate "C" = 'Word' and ctid in (select ctid from folded where t collate "C" = 'Word' limit 3);
update large set n = 9 where n = 1;

-- section: streaming
delete from duplicates where ctid in (select ctid from duplicates where a = 2 limit 9);
update duplicates set b = null where ctid in (select ctid from duplicates where a = 3 limit 9);
delete from documents where ctid in (select ctid from documents where j::text = '{"a":1}' limit 5);
delete from documents where ctid in (select ctid from documents where j is null limit 5);
update documents set j = '{"a":1.00}' where j::text = '{"a":1.0}';
update nulls set a = 7 where b is null and c is null;
delete from nulls where ctid in (select ctid from nulls where a is null and b is null and c limit 3);
update indexed set b = null where a = 5;
delete from indexed where a is null or b is null or d is null;
delete from folded where ctid in (select ctid from folded where t collate "C" = 'WORD' limit 20);
update folded set t = 'wOrD' where ctid in (select ctid from folded where t collate "C" = 'Word' limit 20);
update large set n = n + 1;
delete from large where ctid in (select ctid from large where n = 3 limit 4);
update computed set a = a + 1 where a < 5;
delete from computed where ctid in (select ctid from computed where a = 1 limit 4);
update counted set a = a + 1 where a < 5;
delete from counted where id % 3 = 0;
update quoted set r = 'empty', by = '\x' where a[1] like '%1';
delete from quoted where ctid in (select ctid from quoted where i > '2 days' limit 9);
-- await: applied
update duplicates set a = a + 1;
insert into duplicates select 3, 'same 3' from generate_series(1, 100);
delete from duplicates where ctid in (select ctid from duplicates where a = 3 limit 60);
insert into documents select j, b, t, x, p from documents;
update documents set b = b || '{"more": null}' where jsonb_typeof(b) = 'object';
update nulls set c = not c;
update nullable_key set a = null where a % 3 = 0;
update nullable_key set v = 'streamed', b = b + 1;
update folded set n = n + 1;
update indexed set a = null;
update indexed set a = 1, c = 'zz';
update quoted set ts = ts + interval '1 us';
delete from large where n = 9;

-- section: compare
select t collate "C", n, count(*) from identity_full.folded group by 1, 2 order by 1, 2;
