-- title: a deferrable primary key identifies nothing and is refused
-- expect: preflight replica-identity
-- section: schema
create table item (id int primary key deferrable, v text);
