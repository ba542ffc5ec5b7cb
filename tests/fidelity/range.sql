-- title: ranges arrive with their bounds: open, closed, unbounded, empty, of several parts, and of a user-defined type
-- section: schema
create type label_range as range (subtype = text, collation = "C", multirange_type_name = label_multirange);

create table int4range_value (id int primary key, v int4range);
insert into int4range_value values
  (1, 'empty'),
  (2, '(,)'),
  (3, '[1,10]'),
  (4, '(1,10)'),
  (5, '[,5)'),
  (6, '[2147483646,2147483647)');

create table int8range_value (id int primary key, v int8range);
insert into int8range_value values
  (1, 'empty'),
  (2, '(,)'),
  (3, '[-9223372036854775808,9223372036854775807)');

create table numrange_value (id int primary key, v numrange);
insert into numrange_value values
  (1, 'empty'),
  (2, '(,)'),
  (3, '[1.10,1.1000]'),
  (4, '[1,NaN]'),
  (5, '[-Infinity,Infinity]'),
  (6, '(0.1,0.10001)');

create table tsrange_value (id int primary key, v tsrange);
insert into tsrange_value values
  (1, 'empty'),
  (2, '["2020-01-01 00:00:00.000001",infinity]'),
  (3, '(-infinity,"0044-03-15 BC")'),
  (4, '(,)');

create table tstzrange_value (id int primary key, v tstzrange);
insert into tstzrange_value values
  (1, 'empty'),
  (2, '["2020-01-01 00:00+02","2020-01-01 00:00+00")'),
  (3, '[,infinity]');

create table daterange_value (id int primary key, v daterange);
insert into daterange_value values
  (1, 'empty'),
  (2, '[4713-01-01 BC,infinity)'),
  (3, '[2020-02-28,2020-02-29]'),
  (4, '(,)'),
  (5, '[infinity,infinity]');

create table labels_value (id int primary key, v label_range);
insert into labels_value values
  (1, 'empty'),
  (2, '["","\"q\""]'),
  (3, '[a\,b,"c,(d]"]'),
  (4, '("\\",z)'),
  (5, '[A,null2)');

create table int4multirange_value (id int primary key, v int4multirange);
insert into int4multirange_value values
  (1, '{}'),
  (2, '{[1,2),[5,9)}'),
  (3, '{(,0),[7,)}');

create table nummultirange_value (id int primary key, v nummultirange);
insert into nummultirange_value values
  (1, '{}'),
  (2, '{[1.10,2],(3,NaN)}'),
  (3, '{(,)}');

create table tstzmultirange_value (id int primary key, v tstzmultirange);
insert into tstzmultirange_value values
  (1, '{}'),
  (2, '{[2020-01-01 00:00+00,2020-01-02 00:00+00),["2021-01-01 00:00+00",infinity]}');

create table datemultirange_value (id int primary key, v datemultirange);
insert into datemultirange_value values
  (1, '{}'),
  (2, '{[2020-01-01,2020-01-03],[infinity,)}');

create table labels_multi_value (id int primary key, v label_multirange);
insert into labels_multi_value values
  (1, '{}'),
  (2, '{["a","b,"],("c\"","d}")}');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
