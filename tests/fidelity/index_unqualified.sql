-- title: an index whose function calls an extension's function in public without its schema
-- needs: extension unaccent
-- section: schema
create extension if not exists unaccent schema public;
create function f_unaccent(v text) returns text language sql immutable strict as $$ select unaccent($1) $$;
create table person (id int primary key, name text);
create index person_name on person (lower(index_unqualified.f_unaccent(name)));
insert into person select i, 'Édith ' || i from generate_series(1, 200) i;

-- section: streaming
insert into person select 400 + i, 'Zoë ' || i from generate_series(1, 50) i;
