-- title: numbers arrive digit by digit: no rounding, no lost zero, NaN and infinities where they stand
-- section: schema
create table int2_value (id int primary key, v smallint);
insert into int2_value values
  (1, '-32768'),
  (2, '32767'),
  (3, '0');

create table int4_value (id int primary key, v integer);
insert into int4_value values
  (1, '-2147483648'),
  (2, '2147483647'),
  (3, '0'),
  (4, '-1');

create table int8_value (id int primary key, v bigint);
insert into int8_value values
  (1, '-9223372036854775808'),
  (2, '9223372036854775807'),
  (3, '9007199254740993'),
  (4, '0'),
  (5, '-1');

create table oid_value (id int primary key, v oid);
insert into oid_value values
  (1, '0'),
  (2, '4294967295'),
  (3, '2147483648');

create table numeric_value (id int primary key, v numeric);
insert into numeric_value values
  (1, 'NaN'),
  (2, 'Infinity'),
  (3, '-Infinity'),
  (4, '0'),
  (5, '0.00'),
  (6, '-0.0'),
  (7, '1.10'),
  (8, '1.1000'),
  (9, '1e-20'),
  (10, '123456789012345678901234567890.123456789');

insert into numeric_value values
  (11, ('1' || repeat('0', 131071))::numeric),
  (12, -('0.' || repeat('123456789', 1820) || '000')::numeric);

create table scaled_value (id int primary key, v numeric(20, 5));
insert into scaled_value values
  (1, 'NaN'),
  (2, '999999999999999.99999'),
  (3, '-0.00001'),
  (4, '0'),
  (5, '1');

create table hundreds_value (id int primary key, v numeric(5, -2));
insert into hundreds_value values
  (1, 'NaN'),
  (2, '1234567'),
  (3, '-100'),
  (4, '0');

create table float4_value (id int primary key, v real);
insert into float4_value values
  (1, 'NaN'),
  (2, 'Infinity'),
  (3, '-Infinity'),
  (4, '-0'),
  (5, '0'),
  (6, '3.4028235e38'),
  (7, '1e-45'),
  (8, '0.1'),
  (9, '16777217'),
  (10, '1.00000001');

create table float8_value (id int primary key, v double precision);
insert into float8_value values
  (1, 'NaN'),
  (2, 'Infinity'),
  (3, '-Infinity'),
  (4, '-0'),
  (5, '0'),
  (6, '1.7976931348623157e308'),
  (7, '5e-324'),
  (8, '0.1'),
  (9, '9007199254740993'),
  (10, '0.30000000000000004'),
  (11, '1e22'),
  (12, '-1e-7');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
