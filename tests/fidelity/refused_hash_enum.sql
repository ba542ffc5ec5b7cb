-- title: hash partitions by an enum are refused: the hash depends on the OID of the label, which differs between servers
-- expect: preflight partition-key
-- section: schema
create type shade as enum ('red', 'orange', 'yellow', 'green', 'blue', 'indigo', 'violet', 'black');
create table item (id int not null, c shade not null, v text, primary key (id, c)) partition by hash (c);
create table item_0 partition of item for values with (modulus 2, remainder 0);
create table item_1 partition of item for values with (modulus 2, remainder 1);
