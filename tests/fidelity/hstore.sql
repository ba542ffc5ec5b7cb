-- title: hstore arrives with its quotes and nulls
-- needs: extension hstore
-- section: schema
create extension if not exists hstore schema public;
create table hstore_value (id int primary key, v hstore);
insert into hstore_value values
  (1, ''),
  (2, 'a=>1'),
  (3, '"a b"=>NULL, c=>"NULL"'),
  (4, '"\""=>"\\", "é"=>"🙂,=>"');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
