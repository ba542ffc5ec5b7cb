-- title: a generated column whose function reads another table: equal once the source recomputes it, as preflight says
-- section: schema
create table z_rate (code text primary key, rate numeric);
insert into z_rate values ('a', 2), ('b', 3);
create function rate_of(c text) returns numeric language plpgsql immutable as $$ begin return (select rate from generated_reads.z_rate where code = c); end $$;
create table a_line (id int primary key, code text, n numeric, total numeric generated always as (n * generated_reads.rate_of(code)) stored);
insert into a_line (id, code, n) select i, case i % 2 when 0 then 'a' else 'b' end, i from generate_series(1, 100) i;
update z_rate set rate = 7 where code = 'b';

-- section: streaming
insert into a_line (id, code, n) values (201, 'b', 1);
update a_line set n = n;
