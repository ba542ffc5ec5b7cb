-- title: addresses and identifiers arrive with their masks and cases
-- section: schema
create table inet_value (id int primary key, v inet);
insert into inet_value values
  (1, '0.0.0.0/0'),
  (2, '10.1.2.3/8'),
  (3, '255.255.255.255'),
  (4, '::'),
  (5, '::1/128'),
  (6, 'fe80::1/10'),
  (7, '::ffff:1.2.3.4/96'),
  (8, '2001:db8::8:800:200c:417a');

create table cidr_value (id int primary key, v cidr);
insert into cidr_value values
  (1, '0.0.0.0/0'),
  (2, '10.0.0.0/8'),
  (3, '1.2.3.4/32'),
  (4, '::/0'),
  (5, '2001:db8::/32');

create table macaddr_value (id int primary key, v macaddr);
insert into macaddr_value values
  (1, '00:00:00:00:00:00'),
  (2, 'ff:ff:ff:ff:ff:ff'),
  (3, '08:00:2b:01:02:03');

create table macaddr8_value (id int primary key, v macaddr8);
insert into macaddr8_value values
  (1, '00:00:00:00:00:00:00:00'),
  (2, 'ff:ff:ff:ff:ff:ff:ff:ff'),
  (3, '08:00:2b:ff:fe:01:02:03');

create table uuid_value (id int primary key, v uuid);
insert into uuid_value values
  (1, '00000000-0000-0000-0000-000000000000'),
  (2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  (3, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
