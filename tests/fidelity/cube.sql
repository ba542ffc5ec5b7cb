-- title: cube, seg and the numbers of isn arrive as they are
-- needs: extension cube
-- needs: extension seg
-- needs: extension isn
-- section: schema
create extension if not exists cube schema public;
create extension if not exists seg schema public;
create extension if not exists isn schema public;
create table cube_value (id int primary key, v cube);
insert into cube_value values
  (1, '(1.1,2)'),
  (2, '(0,0),(1,1e-300)'),
  (3, '(Infinity)'),
  (4, '(0)');

create table seg_value (id int primary key, v seg);
insert into seg_value values
  (1, '1.50'),
  (2, '1.5 .. 2.0'),
  (3, '~3'),
  (4, '<5.10 ..'),
  (5, '3(+-)1');

create table isbn_value (id int primary key, v isbn13);
insert into isbn_value values
  (1, '978-0-393-04002-9');

create table ean_value (id int primary key, v ean13);
insert into ean_value values
  (1, '9780393040029');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
