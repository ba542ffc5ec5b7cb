-- title: a value that names an index is refused: the index is created after the rows
-- expect: preflight object-names
-- section: schema
create table t (id int primary key, v regclass);
create index t_v on t (v);
insert into t values (1, 'pg_catalog.pg_class'), (2, 't'), (3, 't_v');
