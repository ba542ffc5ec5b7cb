-- title: a LATIN1 database is refused: its bytes would arrive as other characters, without an error
-- encoding: source LATIN1
-- expect: preflight encoding
-- section: schema
create table "Größe" ("größe" text primary key);
insert into "Größe" values ('été');
