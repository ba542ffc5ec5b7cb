-- title: a UTF8 database is not moved into a LATIN1 one, which cannot hold all of it
-- encoding: target LATIN1
-- expect: preflight encoding
-- section: schema
create table text_value (id int primary key, v text);
insert into text_value values (1, '€');
