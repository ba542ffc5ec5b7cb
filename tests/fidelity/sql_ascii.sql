-- title: a SQL_ASCII database is refused: the meaning of its bytes is unknown
-- encoding: source SQL_ASCII
-- expect: preflight encoding
-- section: schema
create table text_value (id int primary key, v text);
insert into text_value values (1, E'\xe9t\xe9'), (2, E'\xff\xfe');
