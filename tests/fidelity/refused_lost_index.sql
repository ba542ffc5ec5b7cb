-- title: a replica identity whose index was dropped is refused
-- expect: preflight replica-identity
-- section: schema
create table item (id int primary key, code int not null unique);
alter table item replica identity using index item_code_key;
alter table item drop constraint item_code_key;
