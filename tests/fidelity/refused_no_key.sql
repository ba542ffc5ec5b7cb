-- title: a table without a key is refused: its updates and deletes would be missing
-- expect: preflight replica-identity
-- section: schema
create table with_key (id int primary key);
create table without_key (id int, v text);
insert into without_key values (1, 'a');
