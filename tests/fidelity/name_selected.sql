-- title: patterns select and leave out tables by any name; changes of those left out without a key do not stop the stream
-- input: {"tables": {"include": ["name_selected.*", "\"name_selected__dot.dot\".*", "\"name_selected__a\"\"b,c\\d'e\".\"t.*\"", "name_selected__Case.T", "name_selected__🐘.*", "name_selected__blank blank.\" t \"", "\"beside, \"\"it\"\"\".*"], "exclude": ["*.left_*", "*.\"not, this\"", "\"beside, \"\"it\"\"\".\"a.b\"", "*.\"back\\slash's\"", "*.🐘?"]}}
-- section: schema
create schema "name_selected__dot.dot";
create schema "name_selected__a""b,c\d'e";
create schema "name_selected__Case";
create schema "name_selected__🐘";
create schema "name_selected__blank blank";
create table item (id int primary key, v text);
create table "left" (id int primary key, v text);
create table "name_selected__dot.dot"."t.t" (id int primary key, v text);
create table "name_selected__a""b,c\d'e"."t.*" (id int primary key, v text);
create table "name_selected__Case"."T" (id int primary key, v text);
create table "name_selected__🐘"."é🐘.," (id int primary key, v text);
create table "name_selected__blank blank"." t " (id int primary key, v text);
create schema beside_selected;
create table beside_selected.left_out (id int primary key, v text);
create table beside_selected.no_key (id int, v text);
create schema "beside, ""it""";
create table "beside, ""it"""."kept" (id int primary key, v text);
create table "beside, ""it"""."left_here" (id int, v text);
create table "beside, ""it"""."not, this" (id int, v text);
create table "beside, ""it"""."a.b" (id int, v text);
create table "beside, ""it"""."back\slash's" (id int, v text);
create table "beside, ""it"""."🐘!" (id int, v text);
create procedure all_of_them(what text) language plpgsql as $$ declare t text; begin
  for t in select c.oid::regclass from pg_class c where c.relkind = 'r' and c.oid >= 16384 and c.relnamespace not in (select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema')) loop
    execute format('insert into %s select i, %L from generate_series((select coalesce(max(id), 0) from %s) + 1, (select coalesce(max(id), 0) from %s) + 60) i', t, what, t, t);
    execute format('update %s set v = v || %L where id %% 3 = 0', t, what);
  end loop;
end $$;
call all_of_them('copied');
-- section: copying
call all_of_them('copying');
-- section: streaming
call all_of_them('streaming');
truncate beside_selected.left_out, "name_selected__🐘"."é🐘.,";
call all_of_them('again');

-- section: compare
select * from "beside, ""it""".kept order by id;
