-- title: an unchanged out-of-line value stays, in any column and whatever else changes
-- section: schema
create table first (big text, id int primary key, n int, v text);
create table middle (id int primary key, n int, big text, v text);
create table last (id int primary key, n int, v text, big text);
create table several (id int primary key, a text, n int, b bytea, c jsonb, d text[], e json, v text not null);
create table only_big (id int primary key, big text not null);
create table keyed (id int not null, code text not null unique, big text, n int);
alter table keyed replica identity using index keyed_code_key;
create table computed (id int primary key, big text, small text generated always as (left(big, 5)) stored, all_of_it text generated always as (big || '!') stored, n int);
alter table first alter column big set storage external;
alter table middle alter column big set storage external;
alter table last alter column big set storage external;
alter table several alter column a set storage external, alter column b set storage external, alter column c set storage external, alter column d set storage external, alter column e set storage external;
alter table only_big alter column big set storage external;
alter table keyed alter column big set storage external;
alter table computed alter column big set storage external, alter column all_of_it set storage external;
insert into first select repeat(md5(i::text), 90), i, i, 'copied' from generate_series(1, 120) i;
insert into middle select id, n, big, v from first;
insert into last select id, n, v, big from first;
insert into several select id, big, n, big::bytea, to_jsonb(big), array[big, null, big], to_json(big), v from first;
insert into only_big select id, big from first;
insert into keyed select id, 'c' || id, big, n from first;
insert into computed (id, big, n) select id, big, n from first;

-- section: copying
update first set n = 0 where id <= 20;
update middle set n = 0 where id <= 20;
update last set n = 0 where id <= 20;
update several set n = 0, d = null where id <= 20;
update only_big set id = id + 1000 where id <= 20;
update keyed set n = 0, code = 'x' || code where id <= 20;
update computed set n = 0 where id <= 20;

-- section: streaming
update first set v = null where id > 100;
update middle set v = null where id > 100;
update last set v = null where id > 100;
update several set c = '{}', v = 'few' where id > 100;
update only_big set id = id + 2000 where id between 50 and 60;
update keyed set id = -id where id > 100;
update computed set id = -id where id > 100;
update several set a = a where id = 50;
-- await: applied
update first set v = 'many', id = id + 500;
update middle set v = 'many';
update last set n = n + 1;
update several set n = n + 1;
update several set a = null where id % 4 = 0;
update several set b = '\x00' where id % 4 = 1;
update several set e = '[ 1 ]' where id % 4 = 2;
update several set a = repeat('changed', 1000), n = 7 where id % 8 = 3;
update several set n = n + 1, v = 'again';
update only_big set id = -id;
update keyed set code = code || 'y';
update keyed set n = 7;
update computed set n = 7;
update computed set big = repeat('z', 3000) where id % 10 = 0;
-- await: applied
begin;
insert into middle select id + 10000, n, big, v from middle;
update middle set n = -1 where id > 10000;
update middle set id = id + 10000 where id > 10000;
delete from middle where id % 3 = 0;
commit;
begin;
update last set big = 'small' where id <= 60;
update last set n = n + 1;
update last set big = repeat('grown', 2000) where id <= 60;
update last set n = n + 1;
commit;

-- section: compare
select sum(length(a)), sum(length(b)), sum(length(c::text)), sum(length(d::text)), sum(length(e::text)) from toast.several;
