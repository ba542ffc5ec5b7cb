-- title: rows that policies hide arrive like all others, with policies, enabled and forced state
-- section: schema
create table secret (id int primary key, who text, level int);
create policy readers on secret for select to fidelity_reader using (who = current_user);
create policy limits on secret as restrictive for all to public using (level < 5) with check (level < 3);
alter table secret enable row level security, force row level security;
create table locked (id int primary key, v text);
alter table locked enable row level security;
create table dormant (id int primary key, v text);
create policy nothing on dormant using (false);
alter table dormant force row level security;
insert into secret select i, 'fidelity_owner', i from generate_series(1, 20) i;
insert into locked select i, 'v' from generate_series(1, 20) i;
insert into dormant select i, 'v' from generate_series(1, 20) i;
alter table secret owner to fidelity_owner;

-- section: copying
insert into secret values (101, 'fidelity_reader', 9);
update locked set v = 'w' where id % 3 = 0;
delete from dormant where id < 5;

-- section: streaming
insert into secret values (201, null, 1), (202, 'no one', 7);
update secret set level = level + 1;
update secret set id = id + 1000 where id in (1, 2);
delete from secret where id = 20;
truncate locked;
insert into locked values (1, 'after');
update dormant set v = v || id;
