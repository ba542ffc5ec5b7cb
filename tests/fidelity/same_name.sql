-- title: tables with the same name in several schemas, with and without a key, are not mixed up
-- section: schema
create schema same_name__b;
create schema same_name__c;
create table t (id int primary key, v text);
create table same_name__b.t (id int primary key, v text, extra int);
create table same_name__c.t (v text, id int not null, other int);
create unique index t_key on same_name__c.t (id, other);
alter table same_name__c.t alter column other set not null;
alter table same_name__c.t replica identity using index t_key;
create table refers (id int primary key, a int references t, b int references same_name__b.t);
create table same_name__b.refers (id int primary key, a int references same_name.t, b int references t);
insert into t select i, 'a' from generate_series(1, 100) i;
insert into same_name__b.t select i, 'b', i from generate_series(1, 100) i;
insert into same_name__c.t select 'c', i, i from generate_series(1, 100) i;
insert into refers select i, i, i from generate_series(1, 100) i;
insert into same_name__b.refers select i, i, i from generate_series(1, 100) i;
-- section: copying
update t set v = 'a copying' where id < 10;
update same_name__b.t set v = 'b copying' where id < 20;
delete from same_name__c.t where id < 30;
-- section: streaming
update t set v = 'a streamed' where id < 40;
delete from refers where b > 90;
-- await: applied
update same_name__b.t set v = 'b streamed', extra = null;
update same_name__c.t set v = 'c streamed', other = -other;
truncate same_name__b.refers, refers, t;
insert into t values (1, 'last');
