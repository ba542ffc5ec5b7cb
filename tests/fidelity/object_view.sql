-- title: what is written through views, with check options, rules and instead-of triggers, arrives in the tables
-- section: schema
create table base (id int primary key, n int, t text);
create view small with (security_barrier) as select id, n, t from base where n < 100 with cascaded check option;
alter view small alter column t set default 'by the view';
create view joined as select a.id, a.n, b.t from base a join base b using (id);
create function through() returns trigger language plpgsql as $$
begin insert into object_view.base values (new.id, new.n, new.t || ' through'); return new; end $$;
create trigger instead instead of insert on joined for each row execute function through();
create rule gone as on delete to joined do instead delete from base where id = old.id;
create recursive view ladder (n) as values (1) union all select n + 1 from ladder where n < 5;
create view grouped as select b.*, count(*) over () as all_of_them from base b group by b.id;
insert into base select i, i, 't' || i from generate_series(1, 50) i;

-- section: copying
insert into small (id, n) values (101, 1);
insert into joined values (102, 2, 'copying');

-- section: streaming
insert into small (id, n) values (201, 1);
update small set n = n + 1 where id < 10;
insert into joined values (202, 2, 'streaming');
delete from joined where id in (5, 102);
-- fails: 44000
update small set n = 1000 where id = 1;

-- section: compare
select id, n, t, all_of_them from object_view.grouped order by id;
select n from object_view.ladder order by n;
