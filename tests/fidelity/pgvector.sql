-- title: vectors of pgvector arrive with every digit
-- needs: extension vector
-- section: schema
create extension if not exists vector schema public;
create table vector_value (id int primary key, v vector);
insert into vector_value values
  (1, '[1,2.5,-3e-8]'),
  (2, '[0]');

create table three_value (id int primary key, v vector(3));
insert into three_value values
  (1, '[0.1,0.2,0.3]');

create table half_value (id int primary key, v halfvec);
insert into half_value values
  (1, '[1,2.5]');

create table sparse_value (id int primary key, v sparsevec);
insert into sparse_value values
  (1, '{1:1,3:2.5}/5');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
