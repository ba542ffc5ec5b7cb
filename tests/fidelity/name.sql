-- title: schemas, tables, columns and constraints of any name: quotes, dots, commas, blanks, backslashes, 63 bytes, emoji
-- section: schema
create schema "name__Mixed Case";
create schema "name__dot.dot";
create schema "name__comma,quote""back\slash";
create schema "name__';--";
create schema "name__🐘é";
create schema "name__percent%d$1*?";
create schema "name__63bytes_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
create schema name__dot;
do $$ declare s text; n text; begin
  for s in select nspname from pg_namespace where starts_with(nspname, 'name__') order by 1 loop
    foreach n in array array['Mixed Case', 'a.b', 'a,b', 'a"b', 'a\b', 'a''b', ' blank ', '*', '%s', '$1', '🐘', 'null', 'select', 'user', E'two\nlines', E'tab\there', 'dot.t',
                             repeat('y', 63), repeat('ü', 31), '"', '\', ';', '{}', '[a]', 'a/b', '--', '/*'] loop
      execute format('create table %I.%I (%I int, %I text, %I text, %I text, constraint %I primary key (%I), constraint %I check (%I <> 0))',
        s, n, n || '', left('k ' || n, 20), left('ü"' || n, 20), 'v', left('pk of ' || n, 31), n, left('"check" ' || n, 31), n);
      execute format('alter table %I.%I rename column v to %I', s, n, repeat('z', 50) || '''"\.,🐘');
      execute format('insert into %I.%I select i, %L, n, n from generate_series(1, 5) i, (values (%L)) v (n)', s, n, n, s);
      execute format('create index on %I.%I (%I)', s, n, left('k ' || n, 20));
    end loop;
  end loop;
end $$;
create table "name__dot.dot"."t" ("a.b" int primary key, "." text);
create table name__dot."dot.t2" ("a.b" int primary key, "." text);
create table "name__dot.dot"."t2" ("a.b" int primary key, "." text);
create table "name"."full,one" ("j.j" json, "a""b" text, "\" int, "ctid " int, k0 int, c0 text, s text, t text, w text);
alter table "name"."full,one" replica identity full;
create table "name"."Refers" ("id,1" int primary key constraint "check, ""this""" check ("id,1" > 0), "to" int constraint "fk.to ""dot""" references "name__dot.dot"."t2",
  constraint "unique \ one" unique ("to") deferrable);
create table "name"."s" (k0 int primary key, c0 text, s text, t text, c1 int, n int, w text);
insert into "name__dot.dot"."t" select i, 'copied' from generate_series(1, 100) i;
insert into name__dot."dot.t2" select i, 'other' from generate_series(1, 100) i;
insert into "name__dot.dot"."t2" select i, 'this' from generate_series(1, 100) i;
insert into "name"."full,one" select '{"a" :1}', 'x', i % 3, i % 4, i % 5, 'c', 's', 't' from generate_series(1, 100) i;
insert into "name"."Refers" select i, i from generate_series(1, 100) i;
insert into "name"."s" select i, 'c', 's', 't', i, i, 'w' from generate_series(1, 100) i;

-- section: copying
do $$ declare r record; begin
  for r in select c.oid::regclass as t, a.attname as k from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
            where starts_with(n.nspname, 'name__') and c.relkind = 'r' and c.relname !~ '^(t|t2|dot.t2)$' loop
    execute format('update %s set %I = %I + 100 where %I = 1', r.t, r.k, r.k, r.k);
    execute format('insert into %s (%I) values (50)', r.t, r.k);
  end loop;
end $$;

-- section: streaming
do $$ declare r record; begin
  for r in select c.oid::regclass as t, a.attname as k from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
            where starts_with(n.nspname, 'name__') and c.relkind = 'r' and c.relname !~ '^(t|t2|dot.t2)$' loop
    execute format('update %s set %I = %I + 200 where %I = 2', r.t, r.k, r.k, r.k);
    execute format('delete from %s where %I = 3', r.t, r.k);
    execute format('insert into %s (%I) values (51)', r.t, r.k);
  end loop;
end $$;
truncate "name__🐘é"."🐘", "name__dot.dot"."a.b", "name__comma,quote""back\slash"."\";
-- await: applied
update "name__dot.dot"."t" set "a.b" = "a.b" + 1000;
update name__dot."dot.t2" set "." = 'streamed' where "a.b" > 20;
update "name__dot.dot"."t2" set "." = 'streamed here' where "a.b" > 30;
update "name"."full,one" set "\" = 9, "ctid " = null where k0 < 3;
delete from "name"."full,one" where ctid in (select ctid from "name"."full,one" where k0 = 4 limit 5);
update "name"."Refers" set "to" = 101 - "to";
update "name"."s" set k0 = k0 + 1000, c0 = 'cc', s = 'ss';
update "name"."s" set t = 'tt', w = 'ww', n = c1;
insert into "name__';--"."a'b" select i from generate_series(1000, 1060) i;
