-- title: hash partitions by an enum go through their root: the target chooses its own partitions
-- input: {"tables": {"viaPartitionRoot": ["via_root_*.*"]}}
-- section: schema
create type shade as enum ('red', 'orange', 'yellow', 'green', 'blue', 'indigo', 'violet', 'black');
create table item (id int not null, c shade not null, v text, primary key (id, c)) partition by hash (c);
create table item_0 partition of item for values with (modulus 4, remainder 0);
create table item_1 partition of item for values with (modulus 4, remainder 1);
create table item_2 partition of item for values with (modulus 4, remainder 2);
create table item_3 partition of item for values with (modulus 4, remainder 3);
insert into item select i, (enum_range(null::shade))[1 + i % 8], 'copied' from generate_series(1, 400) i;

-- section: target
create type shade as enum ('red', 'orange', 'yellow', 'green', 'blue', 'indigo', 'violet', 'black');
create table item (id int not null, c shade not null, v text, primary key (id, c)) partition by hash (c);
create table item_0 partition of item for values with (modulus 2, remainder 0);
create table item_1 partition of item for values with (modulus 2, remainder 1);

-- section: copying
insert into item values (1001, 'red', 'copying'), (1002, 'blue', 'copying');
update item set c = 'black' where id = 8;

-- section: streaming
insert into item select 2000 + i, (enum_range(null::shade))[1 + i % 8], 'streamed' from generate_series(1, 100) i;
update item set c = 'violet', v = 'moved' where c = 'red' and id > 100;
delete from item where c = 'green' and id % 3 = 0;
