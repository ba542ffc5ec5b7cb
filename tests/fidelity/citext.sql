-- title: citext keeps its case and is matched without it
-- needs: extension citext
-- section: schema
create extension if not exists citext schema public;
create table citext_value (id int primary key, v citext);
insert into citext_value values
  (1, ''),
  (2, 'Abc'),
  (3, 'STRASSE'),
  (4, 'éÉ'),
  (5, 'it''s');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
