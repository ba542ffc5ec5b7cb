-- title: json keeps its spaces, order and duplicate keys; jsonb keeps every digit; xml keeps its declaration
-- section: schema
create table json_value (id int primary key, v json);
insert into json_value values
  (1, '{"b":  1, "a" : [1.10, 1e2 ],"b":2}'),
  (2, '  [ ]  '),
  (3, 'null'),
  (4, '"\u0000 \ud83d\ude42"'),
  (5, '123456789012345678901234567890.10'),
  (6, '""'),
  (7, '{"":{"":[]}}'),
  (8, E' {\n\t"a" :\r\n true }'),
  (9, '"</script> \/ \\ \""');

create table jsonb_value (id int primary key, v jsonb);
insert into jsonb_value values
  (1, '{"b":  1, "a" : [1.10, 1e2 ],"b":2}'),
  (2, '[]'),
  (3, 'null'),
  (4, '"\ud83d\ude42 \u2028"'),
  (5, '123456789012345678901234567890.10'),
  (6, '{"":{"":[]}}'),
  (7, '[-0, 0.0, 1E-20]'),
  (8, '"\\N"');

insert into jsonb_value values (9, (select jsonb_object_agg(md5(i::text), i::numeric / 7) from generate_series(1, 3000) i)), (10, to_jsonb(repeat('"', 10000)));
insert into json_value values (10, (select json_agg(md5(i::text)) from generate_series(1, 3000) i));

create table jsonpath_value (id int primary key, v jsonpath);
insert into jsonpath_value values
  (1, '$'),
  (2, 'strict $."a b"[*] ? (@ > 1.10)'),
  (3, 'lax $.**{2 to last}.x'),
  (4, '$.a ? (@ like_regex "^\\d+$" flag "i")');

create table xml_value (id int primary key, v xml);
insert into xml_value values
  (1, '<a b="1">&amp;&#233;<![CDATA[ <x> ]]></a>'),
  (2, ''),
  (3, 'text only'),
  (4, '<?xml version="1.0" encoding="UTF-8"?><a/>'),
  (5, '<a/><b/>'),
  (6, '<!-- c --><a xmlns="urn:x">é 🙂</a>'),
  (7, '<?xml version="1.0" standalone="yes"?><a>  </a>'),
  (8, '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>');

-- use: value_tables

-- section: copying
-- use: value_copying

-- section: streaming
-- use: value_streaming
-- await: applied
-- use: value_many
