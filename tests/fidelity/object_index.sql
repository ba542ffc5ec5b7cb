-- title: rows under indexes of every kind arrive, and two rows may swap what a unique one holds
-- section: schema
create table item (id int primary key, code text, part int, words text, area int4range, flags int[], gone timestamptz);
create unique index by_expression on item (lower(code), (part % 10));
create unique index while_there on item (part) where gone is null;
create unique index with_nulls on item (words) nulls not distinct;
create index words_gin on item using gin (to_tsvector('simple', coalesce(words, '')));
create index flags_gin on item using gin (flags) with (fastupdate = off);
create index area_gist on item using gist (area);
create index gone_brin on item using brin (gone) with (pages_per_range = 8);
create index part_hash on item using hash (part);
create index code_spgist on item using spgist (code);
create index covering on item (part desc nulls last) include (code, words) with (fillfactor = 60);
insert into item select i, 'Code' || i, i, 'word ' || i, int4range(i, i + 5), array[i, i * 2], null from generate_series(1, 300) i;

-- section: copying
insert into item values (1001, 'CODE1001', 1001, null, 'empty', '{}', null);
update item set gone = timestamptz '2024-01-01 UTC' + id * interval '1 day' where id % 10 = 0;

-- section: streaming
begin;
update item set part = -1 where id = 1;
update item set part = 1 where id = 2;
update item set part = 2 where id = 1;
commit;
update item set words = null where id = 1001;
begin;
delete from item where id = 5;
insert into item values (5, 'Code5', 5, 'word 5', null, null, null);
commit;
update item set gone = now() where id = 7;
insert into item values (2007, 'other', 7, 'the part of one that is gone', null, '{7}', null);
update item set code = upper(code) where id < 20;
