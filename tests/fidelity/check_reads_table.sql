-- title: a check constraint whose function reads another table (qualified) does not stop the copy or the stream
-- input: {"copy": {"parallelism": 1}}
-- section: schema
create table z_dictionary (val text primary key);
insert into z_dictionary values ('a'), ('b'), ('c');
create function in_dictionary(v text) returns boolean language sql stable as $$ select exists (select from check_reads_table.z_dictionary d where d.val = v) $$;
create table a_entry (id int primary key, val text not null check (check_reads_table.in_dictionary(val)));
insert into a_entry select i, chr(97 + i % 3) from generate_series(1, 5000) i;

-- section: copying
insert into z_dictionary values ('d');
insert into a_entry values (6001, 'd');

-- section: streaming
insert into z_dictionary values ('e');
insert into a_entry select 7000 + i, 'e' from generate_series(1, 500) i;
-- await: applied
begin;
insert into z_dictionary values ('f');
insert into a_entry select 8000 + i, 'f' from generate_series(1, 500) i;
update a_entry set val = 'f' where id <= 100;
commit;
