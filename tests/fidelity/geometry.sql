-- title: points, lines and figures arrive with every digit and with infinities
-- section: schema
create table point_value (id int primary key, v point);
insert into point_value values
  (1, '(0,-0)'),
  (2, '(1.1,-1e-300)'),
  (3, '(Infinity,-Infinity)'),
  (4, '(NaN,0)'),
  (5, '(0.1,0.30000000000000004)');

create table line_value (id int primary key, v line);
insert into line_value values
  (1, '{1,-1,0}'),
  (2, '{0,1,-3.3}'),
  (3, '{1e300,1,1}');

create table lseg_value (id int primary key, v lseg);
insert into lseg_value values
  (1, '[(0,0),(1.1,1)]'),
  (2, '[(-1e-5,NaN),(Infinity,2)]');

create table box_value (id int primary key, v box);
insert into box_value values
  (1, '(1,1),(0,0)'),
  (2, '(0,0),(1.1,2)'),
  (3, '(Infinity,Infinity),(-Infinity,-Infinity)');

create table path_value (id int primary key, v path);
insert into path_value values
  (1, '[(0,0),(1,1.5),(2,0)]'),
  (2, '((0,0),(1,1),(2,0))'),
  (3, '[(1,1)]');

create table polygon_value (id int primary key, v polygon);
insert into polygon_value values
  (1, '((0,0),(1,1.5),(2,0))'),
  (2, '((1,1))');

create table circle_value (id int primary key, v circle);
insert into circle_value values
  (1, '<(0,0),0>'),
  (2, '<(1.1,-2),3.3>'),
  (3, '<(1,1),Infinity>');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
