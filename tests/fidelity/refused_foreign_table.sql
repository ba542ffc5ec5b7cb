-- title: a foreign table is refused: its rows are elsewhere
-- expect: preflight foreign-table
-- section: schema
create foreign data wrapper refused_foreign_table;
create server elsewhere foreign data wrapper refused_foreign_table;
create foreign table item (id int, v text) server elsewhere;
create table here (id int primary key);
