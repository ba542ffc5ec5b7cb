-- title: dates and times arrive with every microsecond, BC, at the ends of time and at infinity
-- section: schema
create table date_value (id int primary key, v date);
insert into date_value values
  (1, '4713-01-01 BC'),
  (2, '0001-12-31 BC'),
  (3, '0001-01-01'),
  (4, '1582-10-10'),
  (5, '2000-02-29'),
  (6, '5874897-12-31'),
  (7, 'infinity'),
  (8, '-infinity'),
  (9, 'epoch');

create table time_value (id int primary key, v time);
insert into time_value values
  (1, '00:00'),
  (2, '24:00'),
  (3, '23:59:59.999999'),
  (4, '12:34:56.7');

create table time3_value (id int primary key, v time(3));
insert into time3_value values
  (1, '23:59:59.9996'),
  (2, '24:00'),
  (3, '00:00:00.001');

create table timetz_value (id int primary key, v timetz);
insert into timetz_value values
  (1, '00:00+15:59:59'),
  (2, '24:00-15:59:59'),
  (3, '23:59:59.999999+00'),
  (4, '12:00:00+05:30'),
  (5, '12:00:00-02:30:15');

create table timestamp_value (id int primary key, v timestamp);
insert into timestamp_value values
  (1, '4713-01-01 00:00:00 BC'),
  (2, '0044-03-15 12:00:00.000001 BC'),
  (3, '0001-01-01 00:00'),
  (4, '1999-12-31 23:59:60'),
  (5, '294276-12-31 23:59:59.999999'),
  (6, 'infinity'),
  (7, '-infinity'),
  (8, '2026-03-29 02:30:00.123456');

create table timestamptz_value (id int primary key, v timestamptz);
insert into timestamptz_value values
  (1, '4713-01-02 00:00:00+00 BC'),
  (2, '0001-01-01 00:00+15'),
  (3, '2026-10-25 02:30:00+02'),
  (4, '2026-10-25 02:30:00+01'),
  (5, '294276-12-31 23:59:59.999999+00'),
  (6, 'infinity'),
  (7, '-infinity'),
  (8, '1883-11-18 12:03:58-04:56:02');

create table timestamptz0_value (id int primary key, v timestamptz(0));
insert into timestamptz0_value values
  (1, '2026-01-01 00:00:00.5+00'),
  (2, 'infinity');

create table interval_value (id int primary key, v interval);
insert into interval_value values
  (1, '0'),
  (2, '-178000000 years'),
  (3, '178000000 years'),
  (4, '1 year -2 days +00:00:00.000001'),
  (5, '-1 year -2 mons +3 days -04:05:06.789'),
  (6, '2147483647 days'),
  (7, '-2147483648 days'),
  (8, '2562047788:00:54.775807'),
  (9, '-2562047788:00:54.775807'),
  (10, '1 mon'),
  (11, '30 days'),
  (12, '720:00:00');

create table months_value (id int primary key, v interval year to month);
insert into months_value values
  (1, '1 year 2 mons'),
  (2, '-5 mons');

create table seconds_value (id int primary key, v interval second(2));
insert into seconds_value values
  (1, '1.239'),
  (2, '-0.01');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
