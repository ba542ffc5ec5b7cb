-- title: keys of domains over enums, arrays, ranges, multiranges, composites and domains: rows are found by them, few and many
-- section: schema
create type mood as enum ('happy', 'so, so', 'sad', 'm1', 'm2');
create domain good_mood as mood check (value <> 'sad');
create domain best_mood as good_mood not null;
create domain moods as mood[];
create domain span as int4range;
create domain spans as int4multirange;
create type pair as (a mood, b text);
create domain pair_of as pair check ((value).b <> 'never');
create domain code as char(5);
create domain flags as bit(4);
create domain amount as numeric(8, 3);

create table by_mood (k good_mood primary key, v text);
create table by_best (k best_mood primary key, v text);
create table by_two (k good_mood, n int, v text, primary key (k, n));
create table by_moods (k moods primary key, v text);
create table by_span (k span primary key, v text);
create table by_spans (k spans primary key, v text);
create table by_pair (k pair_of primary key, v text);
create table by_code (k code primary key, v text);
create table by_flags (k flags primary key, v text);
create table by_amount (k amount primary key, v text, x double precision);
create table full_mood (k good_mood, s moods, r span, p pair_of, v text);
alter table full_mood replica identity full;
create index on full_mood (k);
create index on full_mood using hash (s);
create index on full_mood (r);
create index on full_mood (p);

insert into by_mood values ('happy', '1'), ('so, so', '2');
insert into by_best values ('happy', '1'), ('m1', '2');
insert into by_two select 'happy', i, 'c' from generate_series(1, 200) i;
insert into by_moods select array['happy', 'm1']::mood[] || array_fill('m2'::mood, array[i]), 'c' from generate_series(1, 120) i;
insert into by_span select int4range(i, i + 2), 'c' from generate_series(1, 120) i;
insert into by_spans select int4multirange(int4range(i, i + 2), int4range(i + 5, i + 7)), 'c' from generate_series(1, 120) i;
insert into by_pair select row('happy', i::text)::pair, 'c' from generate_series(1, 120) i;
insert into by_code select i::text, 'c' from generate_series(1, 120) i;
insert into by_flags select i::bit(4), 'c' from generate_series(1, 9) i;
insert into by_amount select i + 0.125, 'c', 1 from generate_series(1, 120) i;
insert into full_mood select 'happy', '{m1}', '[1,3)', '(m1,x)', 'c' from generate_series(1, 60);

-- section: streaming
update by_mood set v = 'streamed' where k::text = 'so, so';
delete from by_mood where k::text = 'happy';
update by_best set k = 'm2', v = 'moved' where k::text = 'm1';
delete from by_best where k::text = 'happy';
update by_two set v = 's' where n = 3;
update by_moods set v = 's' where cardinality(k) = 5;
delete from by_moods where cardinality(k) = 6;
update by_span set v = 's' where lower(k) = 5;
delete from by_span where lower(k) = 6;
update by_spans set v = 's' where lower(k) = 5;
delete from by_spans where lower(k) = 6;
update by_pair set v = 's' where (k).b = '5';
delete from by_pair where (k).b = '6';
update by_code set v = 's' where k::text = '5    ';
delete from by_code where k::text = '6    ';
update by_flags set v = 's' where k::text = '0101';
update by_amount set v = 's', x = 'NaN' where k = 5.125;
insert into by_amount values (999.5, 'inf', 'infinity');
update full_mood set v = 's', p = '(m2,y)' where ctid = (select min(ctid) from full_mood);
-- await: applied
update by_two set v = 'many';
delete from by_two where n > 100;
update by_moods set v = 'many';
delete from by_moods where cardinality(k) > 40;
update by_span set v = 'many', k = int4range(lower(k) + 1000, upper(k) + 1000);
delete from by_span where lower(k) > 1040;
update by_spans set v = 'many';
delete from by_spans where lower(k) > 40;
update by_pair set v = 'many';
delete from by_pair where (k).b > '2';
update by_code set v = 'many';
delete from by_code where k::text like '2%';
update by_amount set v = 'many', x = '-infinity';
update full_mood set v = 'many', k = 'm1';
delete from full_mood where ctid = (select min(ctid) from full_mood);
