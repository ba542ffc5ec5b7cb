-- title: positions, transaction ids and names of objects arrive as values
-- section: schema
create table own (id int primary key);
create table "Odd ""name" (id int primary key);
create function f(int, text[]) returns int language sql as 'select 1';

create table pg_lsn_value (id int primary key, v pg_lsn);
insert into pg_lsn_value values
  (1, '0/0'),
  (2, 'FFFFFFFF/FFFFFFFF'),
  (3, '16/B374D848');

create table xid_value (id int primary key, v xid);
insert into xid_value values
  (1, '0'),
  (2, '4294967295'),
  (3, '3');

create table xid8_value (id int primary key, v xid8);
insert into xid8_value values
  (1, '0'),
  (2, '18446744073709551615'),
  (3, '4294967296');

create table cid_value (id int primary key, v cid);
insert into cid_value values
  (1, '0'),
  (2, '4294967295');

create table tid_value (id int primary key, v tid);
insert into tid_value values
  (1, '(0,0)'),
  (2, '(4294967295,65535)'),
  (3, '(7,3)');

create table pg_snapshot_value (id int primary key, v pg_snapshot);
insert into pg_snapshot_value values
  (1, '10:20:10,14,15'),
  (2, '1:1:'),
  (3, '9223372036854775806:9223372036854775807:');

create table txid_snapshot_value (id int primary key, v txid_snapshot);
insert into txid_snapshot_value values
  (1, '10:20:10,14,15');

create table oidvector_value (id int primary key, v oidvector);
insert into oidvector_value values
  (1, ''),
  (2, '1 2 4294967295');

create table int2vector_value (id int primary key, v int2vector);
insert into int2vector_value values
  (1, ''),
  (2, '-32768 0 32767');

create table refcursor_value (id int primary key, v refcursor);
insert into refcursor_value values
  (1, ''),
  (2, 'a "cursor"');

create table aclitem_value (id int primary key, v aclitem);
insert into aclitem_value values
  (1, 'fidelity_reader=arwdDxt/fidelity_owner'),
  (2, '=r/fidelity_owner'),
  (3, 'fidelity_reader=r*w*/fidelity_owner');

create table regtype_value (id int primary key, v regtype);
insert into regtype_value values
  (1, 'integer'),
  (2, 'timestamp with time zone'),
  (3, '"char"'),
  (4, 'pg_catalog.int4[]'),
  (5, 'numeric');

create table regclass_value (id int primary key, v regclass);
insert into regclass_value values
  (1, 'pg_class'),
  (2, 'information_schema.tables'),
  (3, 'server.own'),
  (4, 'server."Odd ""name"'),
  (5, '-'),
  (6, '4000000000');

create table regproc_value (id int primary key, v regproc);
insert into regproc_value values
  (1, 'pg_catalog.now'),
  (2, 'server.f'),
  (3, '-');

create table regprocedure_value (id int primary key, v regprocedure);
insert into regprocedure_value values
  (1, 'abs(integer)'),
  (2, 'server.f(integer,text[])'),
  (3, '-');

create table regoper_value (id int primary key, v regoper);
insert into regoper_value values
  (1, 'pg_catalog.||/'),
  (2, '0');

create table regoperator_value (id int primary key, v regoperator);
insert into regoperator_value values
  (1, '+(integer,integer)'),
  (2, '!!(none,tsquery)'),
  (3, '0');

create table regrole_value (id int primary key, v regrole);
insert into regrole_value values
  (1, 'fidelity_owner'),
  (2, 'fidelity_reader'),
  (3, '-');

create table regnamespace_value (id int primary key, v regnamespace);
insert into regnamespace_value values
  (1, 'pg_catalog'),
  (2, 'server'),
  (3, '-');

create table regconfig_value (id int primary key, v regconfig);
insert into regconfig_value values
  (1, 'simple'),
  (2, 'pg_catalog.english'),
  (3, '0');

create table regdictionary_value (id int primary key, v regdictionary);
insert into regdictionary_value values
  (1, 'simple'),
  (2, '0');

create table regcollation_value (id int primary key, v regcollation);
insert into regcollation_value values
  (1, '"C"'),
  (2, '"POSIX"'),
  (3, '-');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
