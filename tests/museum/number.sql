-- title: numbers arrive digit by digit, NaN and infinities too
-- section: schema
create table number (
  id int primary key, i2 int2, i4 int4, i8 int8, n numeric, scaled numeric(20, 5), f4 float4, f8 float8
);
insert into number values
  (1, -32768, -2147483648, -9223372036854775808, 'NaN', 'NaN', 'NaN', 'NaN'),
  (2, 32767, 2147483647, 9223372036854775807, 'Infinity', 1.1, 'Infinity', 'Infinity'),
  (3, 0, 0, 0, '-Infinity', -99999999.99999, '-Infinity', '-Infinity'),
  (4, null, null, null, null, null, null, null),
  (5, 1, 1, 1, 1.1000, 0, '-0', '-0'),
  (6, 1, 1, 1, ('1' || repeat('0', 131071))::numeric, 0, 3.4028235e38, 1.7976931348623157e308),
  (7, 1, 1, 1, ('0.' || repeat('1', 16383))::numeric, 0, 1e-45, 5e-324);

-- section: copying
insert into number select id + 10, i2, i4, i8, n, scaled, f4, f8 from number;
update number set n = 'NaN', f8 = 'Infinity' where id = 4;

-- section: streaming
insert into number select id + 100, i2, i4, i8, n, scaled, f4, f8 from number;
update number set f4 = n::float4 where id in (1, 2, 3, 101, 102, 103);
update number set n = null, f8 = null where id in (3, 103);
update number set id = id + 1000 where id in (1, 6, 7);
delete from number where id in (2, 102);
