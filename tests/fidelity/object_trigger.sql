-- title: triggers of every state fire once, on the source, and keep their state on the target
-- section: schema
create table log (id int generated always as identity primary key, what text, at int);
create table item (id int primary key, n int, note text not null default '');
create function stamp() returns trigger language plpgsql as $$
begin new.note := new.note || tg_argv[0]; return new; end $$;
create function write_log() returns trigger language plpgsql as $$
begin insert into object_trigger.log (what, at) values (tg_op || ' ' || tg_name, coalesce(new.id, old.id)); return null; end $$;
create function count_rows() returns trigger language plpgsql as $$
begin insert into object_trigger.log (what, at) select tg_name || ' ' || count(*), 0 from fresh; return null; end $$;
create function refuse() returns trigger language plpgsql as $$
begin if new.n < 0 then return null; end if; new.n := new.n * 2; return new; end $$;
create trigger a_ordinary before insert or update on item for each row execute function stamp('o');
create trigger b_always before insert or update on item for each row execute function stamp('a');
create trigger c_replica before insert or update on item for each row execute function stamp('r');
create trigger d_off before insert or update on item for each row execute function stamp('d');
create trigger e_refuse before insert on item for each row execute function refuse();
create trigger f_log after insert or update or delete on item for each row execute function write_log();
create trigger g_many after insert on item referencing new table as fresh for each statement execute function count_rows();
create constraint trigger h_deferred after update on item deferrable initially deferred for each row
  when (new.n is distinct from old.n) execute function write_log();
alter table item enable always trigger b_always, enable replica trigger c_replica, disable trigger d_off, enable always trigger f_log;
create table part (id int, n int, note text not null default '') partition by list (n);
create table part_1 partition of part for values in (1);
create table part_2 partition of part for values in (2);
alter table part_1 replica identity full;
alter table part_2 replica identity full;
create unique index part_key on part (id, n);
create trigger all_parts before insert or update on part for each row execute function stamp('p');
create trigger always_parts after insert or update or delete on part for each row execute function write_log();
alter table part enable always trigger always_parts;
alter table part_2 disable trigger all_parts;
insert into item select i, i from generate_series(1, 50) i;
insert into part select i, 1 + i % 2 from generate_series(1, 20) i;

-- section: copying
insert into item values (101, 5), (102, -1);
update item set n = n + 1 where id % 5 = 0;
delete from item where id % 7 = 0;
insert into part values (101, 1), (102, 2);

-- section: streaming
insert into item select i, i - 205 from generate_series(201, 230) i;
update item set n = n + 1, note = '' where id < 20;
update item set id = id + 1000 where id in (3, 205, 210);
delete from item where id in (1, 2, 201);
update part set n = 3 - n where id < 10;
delete from part where id = 12;
truncate log;
update item set n = 0 where id = 5;

-- section: compare
select what, at from object_trigger.log order by 1, 2;
