-- title: REPLICA IDENTITY NOTHING is refused
-- expect: preflight replica-identity
-- section: schema
create table item (id int primary key, v text);
alter table item replica identity nothing;
