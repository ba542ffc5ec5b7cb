/**
 * One object of every kind that PostgreSQL 15 has besides plain tables, with non-default options, by kind: for the test that
 * compares the catalogs of both sides.
 */

/** Roles belong to a cluster and outlive the test's database: the first test creates them on each side. */
export const OBJECT_ROLES = /* sql */ `
do $$ begin
  begin create role object_owner; exception when duplicate_object or unique_violation then null; end;
  begin create role object_reader; exception when duplicate_object or unique_violation then null; end;
  begin create role object_clerk; exception when duplicate_object or unique_violation then null; end;
end $$;`;

const TYPES = /* sql */ `
create schema obj authorization object_owner;
create schema "Quoted.Schema 'x'";
create schema ext;
create extension hstore schema ext;
create extension pg_trgm schema ext;
create type obj.mood as enum ('sad', 'it''s ok', 'a;b');
alter type obj.mood add value '"in between"' before 'a;b';
create collation obj.strict_c from "C";
create collation obj.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create type obj.pair as (a int, b text collate obj.strict_c);
create type obj.nested as (inner_pair obj.pair, moods obj.mood[]);
create domain obj.positive as int default 7 constraint is_positive check (value > 0) constraint not_huge check (value < 1000000);
alter domain obj.positive add constraint odd check (value % 2 = 1) not valid;
create domain obj.mail as text collate "C" not null check (value ~ '@');
create function obj.span_diff(a float8, b float8) returns float8 language sql immutable strict as 'select a - b';
create type obj.span as range (subtype = float8, subtype_diff = obj.span_diff, multirange_type_name = obj.spans);
create type obj.shell;
create type obj.word;
create function obj.word_in(cstring) returns obj.word language internal immutable strict as 'textin';
create function obj.word_out(obj.word) returns cstring language internal immutable strict as 'textout';
create type obj.word (input = obj.word_in, output = obj.word_out, like = text, category = 'S', delimiter = '|');
`;

const FUNCTIONS = /* sql */ `
create function obj.touch() returns trigger language plpgsql as $$ begin new.note := coalesce(new.note, '') || 't;'; return new; end $$;
create function obj.noop() returns trigger language plpgsql as $$ begin return null; end $$;
create function obj.atomic(a int, out b int, out c text) language sql begin atomic select a + 1, 'x'::text; end;
create function obj.options(variadic list int[] default '{1}') returns setof int language plpgsql stable strict security definer
  leakproof parallel safe cost 7 rows 11 set search_path = obj, pg_temp set work_mem = '8MB'
  as $f$ begin return query select unnest(list); end $f$;
create function obj.as_table(p obj.positive) returns table (x int, y text) language sql as 'select 1, ''$1''::text';
create procedure obj.run(inout n int) language plpgsql as 'begin n := n + 1; end';
create function obj.sum_state(s int, v int) returns int language sql immutable as 'select coalesce(s, 0) + coalesce(v, 0)';
create aggregate obj.total(int) (sfunc = obj.sum_state, stype = int, initcond = '0', combinefunc = int4pl, parallel = safe);
create aggregate obj.middle(p float8 order by v anyelement) (sfunc = ordered_set_transition, stype = internal,
  finalfunc = percentile_disc_final, finalfunc_extra);
create function obj.my_row_number() returns bigint language internal window immutable as 'window_row_number';
create function obj.call_handler() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
create function obj.inline_handler(internal) returns void language c strict as '$libdir/plpgsql', 'plpgsql_inline_handler';
create function obj.validator(oid) returns void language c strict as '$libdir/plpgsql', 'plpgsql_validator';
create trusted language obj_language handler obj.call_handler inline obj.inline_handler validator obj.validator;
create function obj.same(a obj.pair, b obj.pair) returns boolean language sql immutable as 'select a.a = b.a';
create operator obj.=== (leftarg = obj.pair, rightarg = obj.pair, function = obj.same, commutator = operator(obj.===),
  restrict = eqsel, join = eqjoinsel);
create operator family obj.own_family using btree;
create function obj.compare(a int, b int) returns int language sql immutable as 'select sign(b - a)::int';
create operator class obj.backwards for type int using btree family obj.own_family as
  operator 1 >, operator 2 >=, operator 3 =, operator 4 <=, operator 5 <, function 1 obj.compare(int, int);
create function obj.pair_of(text) returns obj.pair language sql immutable as $$ select row(1, $1)::obj.pair $$;
create cast (text as obj.pair) with function obj.pair_of(text) as assignment;
create cast (obj.pair as json) with inout;
create conversion obj.from_latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create access method obj_btree type index handler bthandler;
create text search dictionary obj.words (template = simple, accept = false, stopwords = english);
create text search parser obj.parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
create text search template obj.template (init = dsimple_init, lexize = dsimple_lexize);
create text search configuration obj.search (parser = obj.parser);
alter text search configuration obj.search add mapping for asciiword, word with obj.words, english_stem;
create foreign data wrapper obj_wrapper options (debug 'true');
create server obj_server type 'x' version '1' foreign data wrapper obj_wrapper options (host 'elsewhere');
create user mapping for object_reader server obj_server options ("user" 'somebody');
`;

const TABLES = /* sql */ `
create sequence obj.counter as smallint increment -3 minvalue -100 maxvalue 100 start 7 cache 5 cycle;
create sequence obj.lonely;
create table obj.customer (
  id bigint generated always as identity (sequence name obj.customer_number start 100 increment 10 cache 2) primary key,
  other int generated by default as identity, serial_like int default nextval('obj.counter'),
  name text collate obj.strict_c not null default 'no''body', m obj.mood default 'sad', p obj.positive, note text, body text,
  attributes ext.hstore, gone int, twice int generated always as (coalesce(serial_like, 0) * 2) stored,
  valid_from date default current_date
) with (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
alter table obj.customer drop column gone;
alter table obj.customer alter column body set storage external, alter column note set compression pglz,
  alter column name set statistics 321, alter column other set (n_distinct = -0.5);
alter sequence obj.counter owned by obj.customer.serial_like;
create table obj."Order. 'x'" (
  id int primary key, customer bigint, "Weird.""Col" text, placed timestamptz default now(), during tstzrange,
  amount int, unique (customer, placed) include (amount));
create table obj.of_type of obj.pair (a with options not null, primary key (a));
create table obj.parent (a int not null constraint positive check (a > 0), b text constraint own check (b <> '') no inherit);
create table obj.child (c int) inherits (obj.parent);
alter table obj.child alter column a set default 5;
create table obj.part (at date not null, v int, id int generated by default as identity, note text) partition by range (at);
create table obj.part_2020 partition of obj.part for values from ('2020-01-01') to ('2021-01-01') partition by range (id);
create table obj.part_2020_one partition of obj.part_2020 for values from (minvalue) to (20);
create table obj.part_2020_rest partition of obj.part_2020 default;
create table obj.part_2021 (note text, dropped int, v int, at date not null, id int not null);
alter table obj.part_2021 drop column dropped;
alter table obj.part attach partition obj.part_2021 for values from ('2021-01-01') to ('2022-01-01');
create table obj.hashed (id int, t text) partition by hash (id, lower(t));
create table obj.hashed_0 partition of obj.hashed for values with (modulus 2, remainder 0);
create table obj.hashed_1 partition of obj.hashed for values with (modulus 2, remainder 1) with (fillfactor = 50);
create table obj.secret (id int primary key, who text, level int);
create table obj.full_identity (a int); alter table obj.full_identity replica identity full;
create table obj.index_identity (a int not null, b int); create unique index index_identity_a on obj.index_identity (a);
alter table obj.index_identity replica identity using index index_identity_a;
create table obj.cluster_on (a int primary key, b int); create index cluster_on_b on obj.cluster_on (b);
alter table obj.cluster_on cluster on cluster_on_b;
create table "Quoted.Schema 'x'".customer (id int primary key, "select" int);
create table obj.audit (id int generated always as identity primary key, what text);
`;

const INDEXES = /* sql */ `
create index on obj.customer (lower(name), m) where p > 3;
create index desc_nulls on obj.customer (p desc nulls last) include (m) with (fillfactor = 60);
create index names_gin on obj.customer using gin (name ext.gin_trgm_ops) with (fastupdate = off);
create index note_search on obj.customer using gin (to_tsvector('simple', coalesce(note, '')));
create index during_gist on obj."Order. 'x'" using gist (during);
create index spgist_text on obj.customer using spgist (name);
create index brin_placed on obj."Order. 'x'" using brin (placed) with (pages_per_range = 16);
create index hash_amount on obj."Order. 'x'" using hash (amount);
create unique index not_distinct on obj."Order. 'x'" (customer, amount) nulls not distinct;
create unique index partial_unique on obj."Order. 'x'" (customer) where amount is null;
create index pattern on obj.customer (name text_pattern_ops, name collate "POSIX");
create index backwards on obj.customer (other obj.backwards);
alter index obj.customer_lower_m_idx alter column 1 set statistics 456;
create index part_v on obj.part (v);
create index part_2020_only on obj.part_2020_one (id);
create index part_unattached on only obj.part (note);
comment on index obj.part_v is 'of all partitions';
`;

const CONSTRAINTS = /* sql */ `
alter table obj."Order. 'x'" add constraint to_customer foreign key (customer) references obj.customer
  on update cascade on delete set null deferrable initially deferred;
alter table obj."Order. 'x'" add constraint "no overlap" exclude using gist (during with &&) where (amount > 0) deferrable;
alter table obj."Order. 'x'" add constraint amount_once unique (amount, id) deferrable initially deferred;
alter table obj."Order. 'x'" add constraint amount_small check (amount < 1000000) not valid;
alter table obj.part add primary key (at, id);
create table obj.to_part (id int primary key, at date, part int, parent int, constraint full_match foreign key (at, part) references obj.part match full,
  constraint own_parent foreign key (parent) references obj.to_part on delete set null (parent),
  constraint unchecked foreign key (id) references obj.cluster_on not valid) ;
alter table obj.part add constraint from_part foreign key (v) references obj.cluster_on;
alter table obj.cluster_on add constraint circle foreign key (b) references obj.to_part deferrable;
comment on constraint to_customer on obj."Order. 'x'" is 'why';
comment on constraint is_positive on domain obj.positive is 'domain why';
`;

const TRIGGERS = /* sql */ `
create trigger plain before insert or update of note, name on obj.customer for each row when (new.p is not null) execute function obj.touch('a;b', 'c''d');
create trigger always after update on obj.customer for each row execute function obj.noop();
create trigger replica_only before delete on obj.customer for each row execute function obj.noop();
create trigger switched_off before insert on obj.customer for each row execute function obj.noop();
create trigger statement_level after update on obj.customer referencing old table as o new table as n for each statement execute function obj.noop();
create trigger on_truncate before truncate on obj.customer execute function obj.noop();
create constraint trigger deferred_check after insert on obj.customer deferrable initially deferred for each row execute function obj.noop();
alter table obj.customer enable always trigger always, enable replica trigger replica_only, disable trigger switched_off;
create trigger of_partitions before insert on obj.part for each row execute function obj.touch();
create trigger of_partitions_always after insert on obj.part for each row execute function obj.noop();
alter table obj.part enable always trigger of_partitions_always;
alter table obj.part_2020_one disable trigger of_partitions;
alter table obj.part_2021 enable replica trigger of_partitions;
comment on trigger plain on obj.customer is 'trigger';
create rule instead_rule as on insert to obj.secret where new.id < 0 do instead nothing;
create rule always_rule as on update to obj.secret do also insert into obj.audit (what) values ('updated');
create rule replica_rule as on delete to obj.secret do also insert into obj.audit (what) values ('deleted');
create rule disabled_rule as on insert to obj.audit do also nothing;
alter table obj.secret enable always rule always_rule, enable replica rule replica_rule;
alter table obj.audit disable rule disabled_rule;
comment on rule instead_rule on obj.secret is 'rule';
create function obj.on_ddl() returns event_trigger language plpgsql as 'begin end';
create event trigger object_ddl on ddl_command_end when tag in ('CREATE TABLE', 'DROP TABLE') execute function obj.on_ddl();
create event trigger object_ddl_off on sql_drop execute function obj.on_ddl();
alter event trigger object_ddl_off disable;
create event trigger object_ddl_always on ddl_command_start execute function obj.on_ddl();
alter event trigger object_ddl_always enable always;
comment on event trigger object_ddl is 'event';
`;

const POLICIES = /* sql */ `
create policy readers on obj.secret as permissive for select to object_reader using (who = current_user);
create policy limits on obj.secret as restrictive for all to object_clerk using (level < 5) with check (level < 3);
alter table obj.secret enable row level security, force row level security;
create policy dormant on obj.audit for insert with check (what <> '');
alter table obj.audit force row level security;
create table obj.locked (a int); alter table obj.locked enable row level security;
comment on policy limits on obj.secret is 'policy';
`;

const VIEWS = /* sql */ `
create view obj.orders with (security_barrier, security_invoker) as
  select o.id, c.name, count(*) over () as n from obj."Order. 'x'" o left join obj.customer c on c.id = o.customer;
create view obj.some_secret as select id, who, level from obj.secret where level < 3 with cascaded check option;
alter view obj.some_secret alter column level set default 2;
create recursive view obj.ladder (n) as values (1) union all select n + 1 from ladder where n < 5;
create trigger instead instead of insert on obj.orders for each row execute function obj.noop();
create rule redirect as on delete to obj.ladder do instead delete from obj.audit where id = old.n;
create view obj.grouped as select c.*, count(*) from obj.customer c group by c.id;
create materialized view obj.names with (fillfactor = 90) as select id, name from obj.customer;
create unique index names_id on obj.names (id);
create materialized view obj.names_count as select count(*) as n from obj.names;
create view obj.through as select n from obj.names_count;
create materialized view obj.third as select n + 1 as n from obj.through;
create materialized view obj.empty as select 1 as one with no data;
create materialized view obj.late as select count(*) from obj.grouped;
create index late_count on obj.late (count);
create statistics obj.both (ndistinct, mcv, dependencies) on amount, customer from obj."Order. 'x'";
create statistics obj.expressions on (lower(name)), (p % 10) from obj.customer;
alter statistics obj.both set statistics 77;
comment on statistics obj.both is 'statistics';
comment on materialized view obj.names is 'refreshed';
comment on view obj.orders is 'view';
`;

const RIGHTS = /* sql */ `
alter table obj.customer owner to object_owner;
alter view obj.orders owner to object_owner;
alter materialized view obj.names owner to object_owner;
alter sequence obj.lonely owner to object_owner;
alter function obj.atomic(int) owner to object_owner;
alter type obj.mood owner to object_owner;
alter aggregate obj.total(int) owner to object_owner;
alter statistics obj.expressions owner to object_owner;
alter collation obj.loose owner to object_owner;
alter server obj_server owner to object_owner;
grant usage on schema obj to object_reader, object_clerk with grant option;
grant select, insert on obj.customer to object_reader;
grant select on obj.customer to object_clerk with grant option;
set role object_clerk; grant select on obj.customer to object_reader; reset role;
grant update (note, p), references (id) on obj.customer to object_reader;
grant select on obj.orders, obj.names to object_reader; grant all on obj.audit to public;
revoke all on function obj.options(int[]) from public; grant execute on function obj.options(int[]) to object_reader;
grant execute on procedure obj.run(int) to object_reader;
revoke usage on type obj.mood from public; grant usage on type obj.mood to object_reader;
grant usage on domain obj.positive to object_clerk;
grant usage, select on sequence obj.lonely to object_reader;
grant usage on language obj_language to object_reader;
grant usage on foreign data wrapper obj_wrapper to object_reader;
grant usage on foreign server obj_server to object_reader;
alter default privileges in schema obj grant select on tables to object_reader;
alter default privileges for role object_owner revoke execute on functions from public;
alter default privileges for role object_owner in schema obj grant usage on sequences to object_clerk;
`;

const COMMENTS = /* sql */ `
comment on schema obj is E'line one\\n-- TOC entry 3 (class 1 OID 2)\\nit''s; "it"';
comment on table obj.customer is 'table';
comment on column obj.customer.name is 'column';
comment on column obj.orders.n is 'view column';
comment on column obj.pair.b is 'attribute';
comment on type obj.mood is 'enum'; comment on domain obj.mail is 'domain';
comment on sequence obj.counter is 'sequence';
comment on function obj.options(int[]) is 'function'; comment on procedure obj.run(int) is 'procedure';
comment on aggregate obj.total(int) is 'aggregate'; comment on operator obj.=== (obj.pair, obj.pair) is 'operator';
comment on operator class obj.backwards using btree is 'class'; comment on operator family obj.own_family using btree is 'family';
comment on cast (text as obj.pair) is 'cast'; comment on collation obj.loose is 'collation'; comment on conversion obj.from_latin is 'conversion';
comment on text search configuration obj.search is 'search'; comment on text search dictionary obj.words is 'dictionary';
comment on foreign data wrapper obj_wrapper is 'wrapper'; comment on server obj_server is 'server';
comment on access method obj_btree is 'method'; comment on language obj_language is 'language';
`;

/** Everything that must arrive. */
export const OBJECTS = [
  TYPES,
  FUNCTIONS,
  TABLES,
  INDEXES,
  CONSTRAINTS,
  TRIGGERS,
  POLICIES,
  VIEWS,
  RIGHTS,
  COMMENTS,
].join('\n');

/** What is not moved and must be reported by name. */
export const LEFT_BEHIND = /* sql */ `
create publication object_publication for all tables;
create subscription object_subscription connection 'dbname=nowhere' publication x with (connect = false, slot_name = none);`;

/** A database with a subscription cannot be dropped. */
export const DROP_SUBSCRIPTION = /* sql */ `drop subscription object_subscription`;

/** Rows for the tables: the same on both sides, with triggers and rules disabled, as after a copy. */
export const OBJECT_ROWS = /* sql */ `
set session_replication_role = replica;
insert into obj.customer (name, p, note) select 'name ' || i, i * 2 + 1, 'n' from generate_series(1, 60) i;
insert into obj."Order. 'x'" (id, customer, placed, during, amount)
  select i, 100 + 10 * (i % 60), timestamptz '2024-01-01 UTC' + i * interval '1 day',
         tstzrange(timestamptz '2024-01-01 UTC' + i * interval '1 day', timestamptz '2024-01-02 UTC' + i * interval '1 day'), i
    from generate_series(1, 200) i;
insert into obj.cluster_on select i, null from generate_series(1, 5) i;
insert into obj.part (at, v, note) select date '2020-01-01' + i * 7, i % 5 + 1, 'p' from generate_series(1, 90) i;
insert into obj.to_part (id, at, part) select id, at, id from obj.part where id <= 5;
insert into obj.secret select i, 'object_reader', i from generate_series(1, 9) i;
reset session_replication_role;`;
