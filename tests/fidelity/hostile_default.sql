-- title: defaults of the databases (styles of dates, digits of floats, search path) change no value
-- input: {"copy": {"parallelism": 2}}
-- section: schema
do $$
declare setting text;
begin
  foreach setting in array array[
    $s$datestyle = 'SQL, DMY'$s$, $s$intervalstyle = 'sql_standard'$s$, $s$timezone = 'Asia/Kolkata'$s$, 'extra_float_digits = -15',
    'bytea_output = escape', 'xmloption = document', 'array_nulls = off', 'search_path = hostile_default, public',
    $s$default_transaction_isolation = 'serializable'$s$, 'quote_all_identifiers = on', 'transform_null_equals = on'] loop
    execute format('alter database %I set %s', current_database(), setting);
  end loop;
end $$;
create table own (id int primary key);
create type mood as enum ('fine', 'bad');
create table item (id int primary key, d date, i interval, ts timestamptz, f4 real, f8 float8, b bytea, x xml, l text[], r regclass, t regtype, m mood);
insert into item values
  (1, '2001-02-03', '-1 year 2 days -03:04:05.000006', '2026-03-29 01:59:59.123456+00', 0.1, 0.1::float8 + 0.2, '\x5c00ff27', 'a<b/>c',
   array['NULL', null, 'x'], 'own', 'text[]', 'bad'),
  (2, '0003-02-01 BC', '1 mon -1 days', 'infinity', 1e-45, 1e22, '\x', '', '{}', 'pg_class', 'timestamptz', null);
create table item_full as select * from item;
alter table item_full replica identity full, alter f4 type text, alter f8 type text;

-- section: target
-- The name that the source resolves by its search path is another table here.
create table public.own (id int primary key);
create table own (id int primary key);
create type mood as enum ('fine', 'bad');
create table item (id int primary key, d date, i interval, ts timestamptz, f4 real, f8 float8, b bytea, x xml, l text[], r regclass, t regtype, m mood);
create table item_full (d date, id int, i interval, ts timestamptz, f4 text, f8 text, b bytea, x xml, l text[], r regclass, t regtype, m mood);
do $$
declare setting text;
begin
  foreach setting in array array[
    $s$datestyle = 'Postgres, MDY'$s$, $s$intervalstyle = 'iso_8601'$s$, $s$timezone = 'America/New_York'$s$, 'extra_float_digits = -15',
    'bytea_output = escape', 'xmloption = document', 'array_nulls = off', 'search_path = public',
    $s$default_transaction_isolation = 'serializable'$s$, 'transform_null_equals = on'] loop
    execute format('alter database %I set %s', current_database(), setting);
  end loop;
end $$;

-- section: copying
insert into item select id + 10, d, i, ts, f4, f8, b, x, l, r, t, m from item;
update item_full set d = d + 1;

-- section: streaming
insert into item select id + 100, d + 1, i * 2, ts, f8::real, f8 / 3, b || '\x27', x, l || array[null, 'NULL'], r, t, 'fine' from item;
update item set r = 'own', f8 = f8 * 7, l = array[null::text] where id in (2, 12);
update item_full set ts = ts + interval '1 microsecond', l = l || 'q'::text where id = 1;
delete from item_full where id = 2;
