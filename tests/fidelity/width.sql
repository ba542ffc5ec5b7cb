-- title: tables with one column, with none, and with 1,600
-- section: schema
create table one (id int primary key);
create table one_full (v text);
alter table one_full replica identity full;
create table none ();
alter table none replica identity full;
do $$ begin
  execute 'create table wide (id smallint primary key, ' || (select string_agg('c' || i || case when i % 9 = 0 then ' "char"' when i % 9 = 1 then ' bool' else ' int2' end, ', ') from generate_series(1, 1599) i) || ')';
  execute 'create table wide_full (' || (select string_agg('c' || i || ' bool', ', ') from generate_series(1, 1600) i) || ')';
  execute 'create table wide_text (' || (select string_agg('"col ' || i || '" text', ', ') from generate_series(1, 1600) i) || ', primary key ("col 1600"))';
end $$;
alter table wide_full replica identity full;
insert into one select generate_series(1, 150);
insert into one_full select 'same' from generate_series(1, 100);
insert into none select from generate_series(1, 60);
insert into wide (id, c1, c2, c9, c1599) select i, true, i, '"', -i from generate_series(1, 120) i;
insert into wide_full (c1, c1600, c800) select i % 2 = 0, i % 3 = 0, case when i % 4 > 0 then i % 5 = 0 end from generate_series(1, 120) i;
insert into wide_text ("col 1", "col 800", "col 1600") select null, 'v' || i, 'k' || i from generate_series(1, 60) i;

-- section: copying
insert into none default values;
update one set id = id + 1000 where id <= 10;
delete from one_full where ctid in (select ctid from one_full limit 3);
update wide set c1500 = 5, c1 = null where id <= 10;
update wide_full set c5 = true where c1 and c1600;

-- section: streaming
insert into none default values;
insert into none select from generate_series(1, 70);
delete from one where id > 1000;
update one_full set v = null where ctid in (select ctid from one_full limit 3);
update wide set c1500 = 6, id = id + 1000 where id <= 10;
delete from wide where id between 20 and 25;
update wide_text set "col 1" = 'first' where "col 800" = 'v7';
-- await: applied
update one set id = id + 5000;
insert into one_full select 'other' from generate_series(1, 80);
delete from one_full where ctid in (select ctid from one_full limit 60);
insert into wide (id, c1599) select i, i from generate_series(2000, 2080) i;
update wide set c1599 = null, c9 = '\';
update wide set id = -id;
update wide_full set c900 = c1;
update wide_text set "col 1600" = "col 1600" || 'x', "col 2" = 'second';
delete from wide_text where "col 800" like 'v1%';

-- section: compare
select count(*), count(c1599), sum(c1500) from width.wide;
select count(*), count(c900) from width.wide_full;
