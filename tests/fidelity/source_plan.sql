-- title: partial indexes and expression statistics whose SQL functions call others without their schema: the source still reads the table
-- section: schema
create function public.source_plan_helper(v text) returns boolean language sql immutable as $$ select v like 'a%' $$;
create function starts(v text) returns boolean language sql immutable as $$ select source_plan_helper(v) $$;
create table t (id int primary key, v text);
create index t_some on t (id) where source_plan.starts(v);
insert into t select i, 'a' || i from generate_series(1, 50) i;

-- section: streaming
insert into t values (101, 'b');
