-- title: children with the parent's columns in another order keep it when the operator makes the tables
-- section: schema
create table parent (id int primary key, name text, v text);
create table child (v text, extra text, id int primary key, name text);
alter table child inherit parent;
insert into parent select i, 'parent ' || i, 'copied' from generate_series(1, 80) i;
insert into child select 'copied', 'e', i, 'child ' || i from generate_series(1, 80) i;

-- section: target
create table parent (id int primary key, name text, v text);
create table child (v text, extra text, id int primary key, name text);
alter table child inherit parent;

-- section: copying
update only parent set v = 'copying' where id <= 10;
update parent set name = name || '.' where id <= 5;

-- section: streaming
delete from parent where id = 20;
delete from only child where id = 21;
-- await: applied
update parent set v = 'streamed', id = id + 1000;
update child set extra = null where id % 2 = 0;
truncate only parent;

-- section: compare
select * from inherited_order.child order by id;
