-- title: rows are found by keys of every shape
-- section: schema
create table tiny (id int2 primary key, v text);
create table big (id int8 primary key, v text);
create table composite (a int, b text, c date, v text, primary key (c, a, b));
create table words (k text primary key, v text);
create table c_words (k text collate "C" primary key, v text);
create table fixed (k char(8) primary key, v text);
create table ids (k uuid primary key default gen_random_uuid(), v text);
create table stamps (k timestamptz primary key, v text);
create table bytes (k bytea primary key, v text);
create table flags (k bool, n numeric(6, 2), d interval, primary key (k, n, d), v text);
create table arrays (k int[] primary key, v text);
create table ranges (k int4range primary key, v text);
create type pair as (x int, y text);
create table rows (k pair primary key, v text);
create type mood as enum ('good', 'so "so"', 'bad, very');
create table moods (k mood primary key, v text);
create domain code as text check (value ~ '^[A-Z]+$');
create table codes (k code, n int, primary key (k, n), v text);
create table documents (k jsonb primary key, v text);
create table covering (id int, v text, w text, primary key (id) include (w));
create table descending (a int not null, b int not null, v text);
create unique index descending_key on descending (b desc nulls last, a);
alter table descending replica identity using index descending_key;
create table everything (a int, b int, primary key (a, b));
insert into tiny select i, 'copied' from generate_series(-32768, 32767, 500) i;
insert into big select i * 1000000000000, 'copied' from generate_series(-60, 60) i;
insert into composite select i % 10, 'b' || i, '2020-01-01'::date + i, 'copied' from generate_series(1, 150) i;
insert into words select repeat('ä', i % 5) || '\"''' || chr(8) || i, 'copied' from generate_series(1, 150) i;
insert into words values ('', 'empty'), (' ', 'blank'), (E'\n', 'line'), (E'\t', 'tab'), ('NULL', 'null'), ('\N', 'copy null'), ('a', 'a'), ('A', 'A'), ('\.', 'end');
insert into c_words select k, v from words;
insert into fixed select 'k' || i, 'copied' from generate_series(1, 150) i;
insert into ids select md5(i::text)::uuid, 'copied' from generate_series(1, 150) i;
insert into stamps select '2020-01-01 00:00+00'::timestamptz + i * interval '0.000001 s', 'copied' from generate_series(1, 150) i;
insert into stamps values ('infinity', 'x'), ('-infinity', 'x'), ('0044-03-15 BC', 'x');
insert into bytes select decode(md5(i::text), 'hex'), 'copied' from generate_series(1, 150) i;
insert into bytes values ('', 'empty'), ('\x00', 'zero'), ('\x5c78', 'looks like hex');
insert into flags select i % 2 = 0, i / 100.0, i * interval '1 h 1 mon', 'copied' from generate_series(1, 150) i;
insert into arrays select array[i, null, -i], 'copied' from generate_series(1, 150) i;
insert into ranges select int4range(i, i + 5), 'copied' from generate_series(1, 150) i;
insert into rows select row(i, 'a,"(' || i)::pair, 'copied' from generate_series(1, 150) i;
insert into moods select unnest(enum_range(null::mood)), 'copied';
insert into codes select 'AB', i, 'copied' from generate_series(1, 150) i;
insert into documents select jsonb_build_object('a', i, 'b', array[i]), 'copied' from generate_series(1, 150) i;
insert into covering select i, 'copied', 'w' from generate_series(1, 150) i;
insert into descending select i, -i, 'copied' from generate_series(1, 150) i;
insert into everything select i, -i from generate_series(1, 150) i;

-- section: copying
create procedure touch(what text, chosen text) language plpgsql as $$
declare t text;
begin
  for t in select c.oid::regclass from pg_class c where c.relnamespace = 'key'::regnamespace and c.relkind = 'r'
              and c.relname <> 'everything' order by 1 loop
    execute format('update %s t set v = %L || v where %s', t, what, chosen);
    execute format('delete from %s t where hashtext(t::text) %% 5 = 0', t);
  end loop;
end $$;
call touch('few ', 'hashtext(t::text) % 30 = 1');
drop procedure touch;
update everything set a = a + 1000 where a % 30 = 1;

-- section: streaming
create procedure touch(what text, chosen text) language plpgsql as $$
declare t text;
begin
  for t in select c.oid::regclass from pg_class c where c.relnamespace = 'key'::regnamespace and c.relkind = 'r'
              and c.relname <> 'everything' order by 1 loop
    execute format('update %s t set v = %L || v where %s', t, what, chosen);
    execute format('delete from %s t where hashtext(t::text) %% 7 = 0', t);
  end loop;
end $$;
call touch('few ', 'hashtext(t::text) % 40 = 1');
-- await: applied
call touch('many ', 'true');
drop procedure touch;
update everything set a = a + 100000, b = b - 1;
delete from everything where a % 7 = 0;
insert into words values ('z' || repeat('é', 500), 'long');
update words set k = k || 'x' where v like 'many copied%';
update c_words set k = k || 'x';
update composite set a = a + 1, c = c + 1000;
update flags set k = not k where n > 1;
update ids set k = md5(k::text)::uuid;
update codes set k = 'XY' where n % 2 = 0;
