-- title: tables partitioned by range, list and hash, over several levels, with defaults and foreign names
-- section: schema
create schema partition_kinds__elsewhere;
create table by_range (id int, at timestamptz, v text, primary key (id, at)) partition by range (at);
create table by_range_old partition of by_range for values from (minvalue) to ('2020-01-01');
create table partition_kinds__elsewhere.by_range_old partition of by_range for values from ('2020-01-01') to ('2021-01-01');
create table by_range_rest partition of by_range default;
create table by_list (id int, k text, v text, primary key (id, k)) partition by list (k);
create table by_list_a partition of by_list for values in ('a', 'A''s');
create table by_list_b partition of by_list for values in ('b');
create table by_list_rest partition of by_list default;
create table by_null (id int not null, k text, v text) partition by list (k);
create table by_null_null partition of by_null for values in (null);
create table by_null_rest partition of by_null default;
create unique index on by_null_null (id);
create unique index on by_null_rest (id);
alter table by_null_null replica identity using index by_null_null_id_idx;
alter table by_null_rest replica identity using index by_null_rest_id_idx;
create table by_hash (id uuid primary key, v text) partition by hash (id);
create table by_hash_0 partition of by_hash for values with (modulus 3, remainder 0);
create table by_hash_1 partition of by_hash for values with (modulus 3, remainder 1);
create table by_hash_2 partition of by_hash for values with (modulus 3, remainder 2);
create table deep (a int, b text, c int, v text, primary key (a, b, c)) partition by range (a);
create table deep_1 partition of deep for values from (0) to (100) partition by list (b);
create table deep_1_x partition of deep_1 for values in ('x') partition by hash (c);
create table deep_1_x_0 partition of deep_1_x for values with (modulus 2, remainder 0);
create table deep_1_x_1 partition of deep_1_x for values with (modulus 2, remainder 1);
create table deep_1_rest partition of deep_1 default;
create table deep_2 partition of deep for values from (100) to (maxvalue);
create table by_expression (id int not null, v text) partition by range ((id % 10), lower(v));
create table by_expression_1 partition of by_expression for values from (0, minvalue) to (5, minvalue);
create table by_expression_2 partition of by_expression for values from (5, minvalue) to (maxvalue, maxvalue);
alter table by_expression_1 add primary key (id);
alter table by_expression_2 replica identity full;
create table empty (id int primary key) partition by range (id);
insert into by_range select i, '2018-01-01'::timestamptz + i * interval '10 days', 'copied' from generate_series(1, 200) i;
insert into by_list select i, (array['a', 'A''s', 'b', 'c', '']) [i % 5 + 1], 'copied' from generate_series(1, 200) i;
insert into by_null select i, case when i % 2 = 0 then 'k' end, 'copied' from generate_series(1, 100) i;
insert into by_hash select md5(i::text)::uuid, 'copied' from generate_series(1, 200) i;
insert into deep select i, case when i % 2 = 0 then 'x' else 'y' end, i, 'copied' from generate_series(1, 200) i;
insert into by_expression select i, 'V' || i from generate_series(1, 100) i;

-- section: copying
update by_range set v = 'copying' where id % 10 = 0;
update by_range set at = at + interval '1 year' where id % 10 = 1;
update by_list set k = 'b' where id % 10 = 0;
update by_null set k = null where id <= 10;
delete from by_hash where hashtext(id::text) % 10 = 0;
update deep set a = 200 - a where a % 10 = 3;

-- section: streaming
update by_list set k = 'a' where id % 20 = 5;
update by_null set k = 'k' where id % 20 = 5;
insert into by_range values (1000, 'infinity', 'end'), (1001, '-infinity', 'begin');
-- await: applied
update by_range set at = at - interval '1 year', v = 'moved';
update by_range set v = 'all';
update by_list set k = case k when 'a' then 'b' when 'b' then 'c' else 'a' end;
update by_null set k = case when k is null then 'was null' end;
update by_hash set id = md5(id::text)::uuid;
update by_hash set v = 'streamed';
update deep set b = case b when 'x' then 'z' else 'x' end, c = c + 1;
update deep set a = a + 90 where a < 100;
delete from deep where c % 7 = 0;
update by_expression set id = id + 1000;
update by_expression set v = 'w' || id;
delete from by_expression where id % 7 = 0;
