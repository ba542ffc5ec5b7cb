-- title: bytes and bits arrive as they are, zero bytes too
-- section: schema
create table bytea_value (id int primary key, v bytea);
insert into bytea_value values
  (1, ''),
  (2, '\x00'),
  (3, '\x0000000000'),
  (4, '\x5c4e'),
  (5, '\x5c2e0a'),
  (6, '\xff'),
  (7, '\xdeadbeef');

insert into bytea_value values
  (8, (select string_agg(set_byte('\x00', 0, i), '' order by i) from generate_series(0, 255) i)),
  (9, (select string_agg(decode(md5(i::text), 'hex'), '') from generate_series(1, 1000) i)),
  (10, decode(repeat('00', 300000), 'hex'));

create table bit_value (id int primary key, v bit(9));
insert into bit_value values
  (1, '000000000'),
  (2, '101010101'),
  (3, '111111111');

create table bit1_value (id int primary key, v bit);
insert into bit1_value values
  (1, '0'),
  (2, '1');

create table varbit_value (id int primary key, v bit varying);
insert into varbit_value values
  (1, ''),
  (2, '0'),
  (3, '1'),
  (4, '00000000000000000000000000000001'),
  (5, '111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
