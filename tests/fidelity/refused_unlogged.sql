-- title: an unlogged table is refused: it sends no changes
-- expect: preflight unlogged-table
-- section: schema
create unlogged table item (id int primary key, v text);
create table logged (id int primary key);
