-- title: logical messages of other producers stop nothing: text, binary, large ones, inside and outside transactions
-- section: schema
create table t (id int primary key, v text);
insert into t select i, 'copied' from generate_series(1, 50) i;

-- section: copying
select pg_logical_emit_message(true, 'walferry', '\xff00fe'::bytea);
insert into t values (101, 'while copying');

-- section: streaming
insert into t values (201, 'a');
select pg_logical_emit_message(true, 'walferry', '\xff00fe'::bytea);
select pg_logical_emit_message(false, 'walferry', '\xff00fe'::bytea);
insert into t values (202, 'b');
begin;
insert into t values (203, 'around a message');
select pg_logical_emit_message(true, 'walferry', 'not "walferry''s" own \u0000');
select pg_logical_emit_message(false, 'walferry', '\xc3'::bytea);
select pg_logical_emit_message(true, 'other', '\xff00fe'::bytea);
select pg_logical_emit_message(true, 'wal2json', convert_to(repeat('y', 3000000), 'UTF8'));
update t set v = 'after it' where id = 203;
commit;
select pg_logical_emit_message(false, 'walferry', convert_to(repeat('y', 3000000), 'UTF8'));
select pg_logical_emit_message(false, '', '\xff'::bytea);
select pg_logical_emit_message(true, 'wal,ferry *', '\xff'::bytea);
insert into t values (204, 'c');
