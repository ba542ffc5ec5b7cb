-- title: ltree, lquery and ltxtquery arrive as they are
-- needs: extension ltree
-- section: schema
create extension if not exists ltree schema public;
create table ltree_value (id int primary key, v ltree);
insert into ltree_value values
  (1, ''),
  (2, 'Top'),
  (3, 'Top.Science.Astronomy'),
  (4, 'a_1.B');

create table lquery_value (id int primary key, v lquery);
insert into lquery_value values
  (1, '*'),
  (2, 'Top.*{1,2}.Astro*@|x'),
  (3, 'a.b%');

create table ltxtquery_value (id int primary key, v ltxtquery);
insert into ltxtquery_value values
  (1, 'Europe & Russia*@ & !Transportation');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
