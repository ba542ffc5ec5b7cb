-- title: text arrives byte by byte: quotes, backslashes, control characters, every plane of Unicode
-- section: schema
create table text_value (id int primary key, v text);
insert into text_value values
  (1, ''),
  (2, ' '),
  (3, 'NULL'),
  (4, 'null'),
  (5, 'it''s'),
  (6, '"quoted"'),
  (7, '\'),
  (8, '\\'),
  (9, '\N'),
  (10, '\.'),
  (11, 'a\nb'),
  (12, E'a\tb\nc\rd\be\ff\vg\x01\x1f\x7f'),
  (13, E'\nstarts and ends with a line end\n'),
  (14, E'\r\n'),
  (15, '{"value":12, "name":"x"}'),
  (16, 'é'),
  (17, 'é combining'),
  (18, 'ß ẞ İ ı'),
  (19, '漢字'),
  (20, '🙂 👩‍👩‍👧 🇩🇪'),
  (21, E'\u2028 \u2029 \u0085 \uFEFF \uFFFF \U0010FFFF \u200B'),
  (22, 'tab	here'),
  (23, '$1 %s ; -- /* */'),
  (24, 'trailing blanks   ');

insert into text_value values (25, repeat('0123456789abcdef', 20000)), (26, (select string_agg(chr(i), '' order by i) from generate_series(1, 2000) i)),
  (27, (select string_agg(md5(i::text), '') from generate_series(1, 2000) i));

create table varchar_value (id int primary key, v varchar(10));
insert into varchar_value values
  (1, ''),
  (2, '0123456789'),
  (3, 'äöüßéèêëñç'),
  (4, 'a b       ');

create table char_value (id int primary key, v char(7));
insert into char_value values
  (1, ''),
  (2, 'a'),
  (3, '1234567'),
  (4, '  x'),
  (5, 'ä'),
  (6, '"');

create table name_value (id int primary key, v name);
insert into name_value values
  (1, ''),
  (2, 'a'),
  (3, '"'),
  (4, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'),
  (5, 'ééééééééééééééééééééééééééééééé'),
  (6, 'it''s');

create table single_value (id int primary key, v "char");
insert into single_value values
  (1, ''),
  (2, 'a'),
  (3, '\200'),
  (4, '\377'),
  (5, '"'),
  (6, E'\\'),
  (7, ' '),
  (8, 'N');

create table bool_value (id int primary key, v boolean);
insert into bool_value values
  (1, 't'),
  (2, 'f');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
