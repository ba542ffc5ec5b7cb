-- title: geometries and geographies of PostGIS arrive with reference system and dimensions
-- needs: extension postgis
-- section: schema
create extension if not exists postgis schema public;
create table geometry_value (id int primary key, v geometry);
insert into geometry_value values
  (1, 'POINT(1.1 -2)'),
  (2, 'SRID=4326;POINT ZM (0.1 0.2 0.30000000000000004 -0)'),
  (3, 'POLYGON EMPTY'),
  (4, 'GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1.5))'),
  (5, 'SRID=3857;MULTIPOLYGON(((0 0,0 1,1 1,0 0)))');

create table bounded_value (id int primary key, v geometry(point, 4326));
insert into bounded_value values
  (1, 'SRID=4326;POINT(180 -90)'),
  (2, 'SRID=4326;POINT EMPTY');

create table geography_value (id int primary key, v geography);
insert into geography_value values
  (1, 'POINT(9.99 53.55)'),
  (2, 'SRID=4326;LINESTRING(0 0,180 90)');

create table box3d_value (id int primary key, v box3d);
insert into box3d_value values
  (1, 'BOX3D(0 0 0,1 1 1)');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
