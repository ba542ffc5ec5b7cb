-- title: changing keys: chains, swaps, there and back, onto keys that were just freed, with a large unchanged value
-- section: schema
create table moved (id int primary key, u int unique, v text, big text);
alter table moved alter column big set storage external;
create table compound (a int, b text, big text, v text, primary key (a, b));
alter table compound alter column big set storage external;
create table word (k text primary key, n int);
create table long_key (k text primary key, pad text, v int);
alter table long_key alter column pad set storage plain;
insert into moved select i, i, 'copied', repeat(md5(i::text), 100) from generate_series(1, 300) i;
insert into compound select i, 'b' || i, repeat(md5(i::text), 100), 'copied' from generate_series(1, 200) i;
insert into word select 'w' || i, i from generate_series(1, 200) i;
insert into long_key select repeat(md5(i::text), 3000), repeat('p', 7600), i from generate_series(1, 70) i;

-- section: copying
update moved set id = id + 1000 where id <= 10;
update moved set id = id - 1000 where id > 1005;
begin;
update moved set id = -1 where id = 20;
update moved set id = 20 where id = 21;
update moved set id = 21 where id = -1;
commit;
update compound set b = b || 'x' where a <= 10;
update long_key set v = v + 1 where v <= 5;

-- section: streaming
begin;
update moved set id = -1 where id = 30;
update moved set id = 30 where id = 31;
update moved set id = 31 where id = -1;
commit;
delete from moved where id = 40;
update moved set id = 40 where id = 41;
insert into moved values (41, 41000, 'new in the freed place', null);
update moved set id = 42000 where id = 42;
update moved set id = 42 where id = 42000;
update compound set a = a + 1000 where a between 11 and 20;
update word set k = upper(k) where n <= 20;
update long_key set v = v + 1 where v > 60;
-- await: applied
do $$ begin for i in reverse 300..100 loop update moved set id = id + 1 where id = i; end loop; end $$;
-- await: applied
do $$ begin for i in 101..301 loop update moved set id = id - 1, v = 'back' where id = i; end loop; end $$;
do $$ begin for i in 101..160 loop
  update moved set id = -1 where id = i; update moved set id = i where id = i + 100; update moved set id = i + 100 where id = -1;
end loop; end $$;
update compound set a = a + 5000;
update compound set b = 'c' || a, v = 'streamed';
update compound set big = null where a % 10 = 0;
update word set k = k || '.' || n;
update word set n = -n;
update long_key set k = k || 'x' where v % 2 = 0;
update long_key set v = v + 100;
delete from long_key where v % 5 = 0;
-- await: applied
do $$ begin for i in 1..100 loop
  update moved set id = id + 100000 where id = i;
  update moved set v = 'hot ' || i where id = 100000 + i;
  update moved set id = id - 100000 where id = 100000 + i and i % 2 = 0;
end loop; end $$;

-- section: compare
select count(*), min(length(big)), max(length(big)) from key_change.moved;
