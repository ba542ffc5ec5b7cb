-- title: owners, grants on tables and columns, default privileges and statistics arrive with the rows
-- section: schema
create table owned (id int primary key, a text, b text);
grant usage on schema object_right to fidelity_owner;
alter table owned owner to fidelity_owner;
grant select, insert on owned to fidelity_reader;
grant update (a) on owned to fidelity_reader with grant option;
revoke delete on owned from fidelity_owner;
alter default privileges in schema object_right grant select on tables to fidelity_reader;
create sequence counter;
grant usage on sequence counter to fidelity_reader;
create statistics pair_statistics (mcv, dependencies) on a, b from owned;
alter table owned alter column a set statistics 77;
comment on table owned is E'it''s "quoted"; with a\nsecond line';
comment on column owned.a is '-- section: not one';
insert into owned select i, i % 3, i % 3 from generate_series(1, 100) i;

-- section: copying
update owned set a = b || a where id % 5 = 0;

-- section: streaming
set role fidelity_owner;
insert into owned values (201, 'x', 'y');
reset role;
delete from owned where id < 5;
