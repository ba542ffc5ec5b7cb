-- title: defaults of the target do not replace what the source wrote, especially nulls
-- section: schema
create sequence numbers;
create table item (id int primary key default nextval('numbers'), a text default 'never null', b timestamptz default now(), c uuid default gen_random_uuid(),
  d int not null default 5, e text[] default '{x}', f double precision default random());
insert into item (id) select nextval('numbers') from generate_series(1, 150) i;
insert into item values (1000, null, null, null, 0, null, null);
alter table item add column late text default 'added later';
alter table item add column late_random uuid default gen_random_uuid();

-- section: copying
insert into item (id, a, late) values (1001, default, null), (1002, null, default);
update item set late = default where id = 1000;

-- section: streaming
insert into item (a) values (null);
insert into item default values;
update item set a = null, b = null where id = 5;
-- await: applied
insert into item select i, null, null, null, 1, null, null, null, null from generate_series(2000, 2100) i;
insert into item (id) select i from generate_series(3000, 3100) i;
update item set a = null, late = null, c = default where id % 2 = 0;
update item set d = default, b = clock_timestamp() where id % 3 = 0;
