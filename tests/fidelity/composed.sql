-- title: enums with quotes, composites in composites, domains over domains, arrays of all of them
-- section: schema
create type mood as enum ('fine', 'it''s', '"so" so', 'a,b{c}', '', '\N', ' lead');
create type inner_pair as (a int, b text);
create type outer_pair as (a int, b inner_pair, c inner_pair[], d mood);
create domain whole as int;
create domain even as whole check (value % 2 = 0);
create domain label as varchar(30);
create domain word as label check (value <> '');

create table mood_value (id int primary key, v mood);
insert into mood_value values
  (1, 'fine'),
  (2, 'it''s'),
  (3, '"so" so'),
  (4, 'a,b{c}'),
  (5, ''),
  (6, '\N'),
  (7, ' lead');

create table nested_value (id int primary key, v inner_pair);
insert into nested_value values
  (1, '(1,"a,b")'),
  (2, '(,)'),
  (3, '(2,"")'),
  (4, '(3,"\"q\\")');

create table deep_value (id int primary key, v outer_pair);
insert into deep_value values
  (1, '(1,"(2,x)","{""(3,\\""y z\\"")"",NULL}",fine)'),
  (2, '(,,,)'),
  (3, '(5,"(,)",{},"it''s")');

create table checked_value (id int primary key, v even);
insert into checked_value values
  (1, '0'),
  (2, '2'),
  (3, '-4');

create table labels_value (id int primary key, v text[]);
insert into labels_value values
  (1, '{}'),
  (2, '{NULL}'),
  (3, '{"NULL",null,""}'),
  (4, '[-2:-1]={a,"b,c"}'),
  (5, '{{a,b},{"}","\\"}}'),
  (6, '[0:0][5:6]={{x,"\""}}');

create table moods_value (id int primary key, v mood[]);
insert into moods_value values
  (1, '{fine,"it''s",NULL}'),
  (2, '[3:4]={"a,b{c}",""}'),
  (3, '{}');

create table words_value (id int primary key, v word);
insert into words_value values
  (1, 'a'),
  (2, 'b c'),
  (3, 'd''e');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
