-- title: money arrives to the cent
-- section: schema
create table money_value (id int primary key, v money);
insert into money_value values
  (1, '-92233720368547758.08'),
  (2, '92233720368547758.07'),
  (3, '0'),
  (4, '-0.01'),
  (5, '1234.5');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
