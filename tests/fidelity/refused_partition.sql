-- title: one partition without a key is refused, whatever the others have
-- expect: preflight replica-identity
-- section: schema
create table item (id int not null, v text) partition by range (id);
create table item_1 partition of item for values from (0) to (10);
create table item_2 partition of item for values from (10) to (20);
alter table item_1 add primary key (id);
