-- Source of the stored archive beside it. Made again with PostgreSQL 15:
--   psql -f schema.sql; pg_dump --format=custom --schema-only --file=archive;
--   pg_restore --list [--section=pre-data | --section=post-data] archive; pg_restore --verbose --no-tablespaces
--   --no-table-access-method --no-owner --file=- archive
create schema "Odd; Schema";
create function public.fake() returns int language plpgsql as $p$ begin
--
-- TOC entry 9 (class 1 OID 1)
-- Name: fake; Type: TABLE; Schema: public; Owner: -
-- Data Pos: 0
--

return 1; end $p$;
create table public.customer (id bigint generated always as identity primary key, mail text unique, n int);
comment on table public.customer is E'line\n--\n-- TOC entry 3 (class 1 OID 2)\nsemi; colon';
alter table public.customer add constraint old_rows check (n > 0) not valid;
create table "Odd; Schema".customer (id int primary key);
create table "Odd; Schema"."ta b" (id serial primary key, customer bigint references public.customer);
create table "Odd; Schema"."ta b c" (a int, b int);
create index "b c" on "Odd; Schema"."ta b c" (a);
create table "Odd; Schema"."x; Type: TABLE; Schema: y; Owner: z" (a int unique);
create table public.root (at int not null, v int, primary key (at)) partition by range (at);
create table public.leaf_1 partition of public.root for values from (0) to (10);
create table public.leaf_2 partition of public.root for values from (10) to (20);
create index on public.root (v);
create table public.pointing (at int references public.root);
create table public.shared (n int default nextval('"Odd; Schema"."ta b_id_seq"'));
create table public.parent (a int); create table public.child () inherits (public.parent);
create view public.plain as select id from public.customer;
create view public.grouped as select c.*, count(*) from public.customer c group by c.id;
create materialized view public.late as select count(*) from public.grouped;
create index late_i on public.late (count);
create function public.quick() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger t before insert on public.customer for each row execute function public.quick();
alter table public.customer enable row level security;
create policy p on public.customer using (true);
create statistics public.st on id, n from public.customer;
create publication pub for table public.customer;
create schema walferry; create table walferry.migration (id int);
create extension citext;
grant select on public.customer to public;
