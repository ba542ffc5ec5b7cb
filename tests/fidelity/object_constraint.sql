-- title: deferrable, exclusion, circular and not valid constraints do not reject rows that are valid at commit
-- section: schema
create table booking (id int primary key, room int, during int4range, kind text,
  constraint no_overlap exclude using gist (during with &&, int4range(room, room, '[]') with =) where (kind <> 'draft') deferrable initially deferred);
insert into booking select i, i % 3, int4range(i * 10, i * 10 + 5), 'firm' from generate_series(1, 40) i;
create table place (id int primary key, at int, constraint once unique (at) deferrable initially deferred);
insert into place select i, i from generate_series(1, 40) i;
create table hen (id int primary key, egg int);
create table egg (id int primary key, hen int references hen deferrable initially deferred);
alter table hen add constraint laid foreign key (egg) references egg on delete set null deferrable initially deferred;
create table tree (id int primary key, parent int references tree on delete cascade);
insert into tree select i, nullif(i / 2, 0) from generate_series(1, 60) i;
create table old (id int primary key, n int, other int);
insert into old select i, -i, 1000 + i from generate_series(1, 10) i;
alter table old add constraint positive check (n > 0) not valid;
alter table old add constraint to_tree foreign key (other) references tree not valid;
alter table booking add constraint kinds check (kind in ('firm', 'draft')) no inherit;

-- section: copying
begin;
insert into hen values (1, 1);
insert into egg values (1, 1);
commit;
update place set at = at + 1;
delete from tree where id = 7;

-- section: streaming
begin;
update place set at = 41 - at;
commit;
begin;
update booking set during = (select during from booking where id = 6) where id = 3;
update booking set during = int4range(500, 505) where id = 6;
commit;
begin;
insert into egg values (3, 3);
insert into hen values (3, 3);
update hen set egg = null where id = 1;
delete from egg where id = 1;
commit;
delete from egg where id = 3;
delete from tree where id = 3;
insert into old values (11, 5, 1);
delete from old where id = 3;
insert into booking values (100, 1, '[0,1000)', 'draft');
