-- title: lexemes and queries of text search arrive with positions, weights and quotes
-- section: schema
create table tsvector_value (id int primary key, v tsvector);
insert into tsvector_value values
  (1, ''),
  (2, 'a:1A b:2B,3C c'),
  (3, '''it''''s'' ''\\back'' '' blank '''),
  (4, 'x:16383'),
  (5, '''🙂'':1 ''é'':2');

create table tsquery_value (id int primary key, v tsquery);
insert into tsquery_value values
  (1, ''),
  (2, 'a & !b | (c <-> d)'),
  (3, '''it''''s'' & ''\\back'':*AB'),
  (4, 'a <3> b');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
