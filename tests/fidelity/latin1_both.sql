-- title: a LATIN1 database is refused also when the target has the same encoding
-- encoding: source LATIN1
-- encoding: target LATIN1
-- expect: preflight encoding
-- section: schema
create table "Größe" ("größe" text primary key);
insert into "Größe" values ('été');
