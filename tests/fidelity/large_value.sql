-- title: values of 100 MB arrive: copied, changed, streamed, and left alone when another column changes
-- section: schema
create table large (id int primary key, n int, t text, b bytea);
alter table large alter t set storage external;
insert into large values (1, 1, repeat('x"\', 33333333), null);
insert into large select 2, 2, null, decode(repeat('00ff5c0a', 25000000), 'hex');

-- section: copying
update large set n = 10;

-- section: streaming
update large set n = n + 1;
insert into large select 3, 3, repeat('é', 50000000), null;
update large set b = decode(repeat('5c27220a', 25000000), 'hex') where id = 2;
update large set id = 4 where id = 1;
delete from large where id = 3;
