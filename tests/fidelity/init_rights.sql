-- title: an extension made under default privileges for a role that was dropped since (pg_init_privs keeps its number)
-- needs: extension pg_stat_statements
-- section: schema
do $$ begin if not exists (select from pg_roles where rolname = 'fidelity_gone') then create role fidelity_gone; end if; end $$;
create schema init_rights__ext;
alter default privileges in schema init_rights__ext grant select on tables to fidelity_gone;
alter default privileges in schema init_rights__ext grant execute on functions to fidelity_gone;
drop extension if exists fuzzystrmatch cascade;
create extension pg_stat_statements schema init_rights__ext;
create extension fuzzystrmatch schema init_rights__ext;
drop owned by fidelity_gone;
drop role fidelity_gone;
create table t (id int primary key);
insert into t values (1);

-- section: streaming
insert into t values (2);
