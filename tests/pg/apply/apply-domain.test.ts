/**
 * Keys whose type is a domain. The operators of enums reject a domain (42883), so both sides of a comparison are cast to the
 * type below all domains and use the operator of the key's own index.
 */
import { expect, test } from 'vitest';
import { Feed } from './apply-feed.ts';

const TYPES = /* sql */ `
  create schema odd; create extension citext schema odd; create extension hstore schema odd;
  create type public.mood as enum ('good', 'bad', 'so so');
  create domain public.good_mood as public.mood; create domain public.best_mood as public.good_mood;
  create domain public.moods as public.mood[];
  create type public.pair as (m public.mood, n int); create domain public.paired as public.pair;
  create domain public.span as int4range; create domain public.spans as int4multirange;
  create domain public.code as char(4); create domain public.folded as odd.citext; create domain public.bag as odd.hstore;`;

const KEYS: readonly (readonly [string, string, string])[] = [
  ['an enum', 'good_mood', `(enum_range(null::public.mood))[1 + i % 3]`],
  ['a domain over an enum', 'best_mood', `(enum_range(null::public.mood))[1 + i % 3]`],
  ['an array of enums', 'moods', `array_fill('bad'::public.mood, array[i])`],
  ['a composite with an enum', 'paired', `row('good', i)::public.pair`],
  ['a range', 'span', `int4range(i, i + 1)`],
  ['a multirange', 'spans', `int4multirange(int4range(i, i + 1))`],
  ['a padded text', 'code', `i::text`],
  ['a type outside the search path', 'folded', `'Row ' || i`],
  ['a type without casts, outside the search path', 'bag', `odd.hstore('n', i::text)`],
];

test.each(KEYS)(
  'a row is found by a key of a domain over %s, and its NaN is read back from the source',
  async (_, type, value) => {
    await using feed = await Feed.start(/* sql */ `${TYPES}
      create table public.item (k public.${type}, n int, x float8, v text, primary key (k, n));
      insert into public.item select ${value}, i, i, 'copied' from generate_series(1, 200) i;`);
    const read = /* sql */ `select t::text from public.item t order by n, k::text`;
    const few = [
      /* sql */ `update public.item set x = 'NaN' where n = 3`,
      /* sql */ `update public.item set n = 1000 where n = 4`,
      /* sql */ `delete from public.item where n = 5`,
      /* sql */ `insert into public.item select ${value}, 2000, '-infinity', null from (values (7)) v (i)`,
    ];
    const many = [
      /* sql */ `update public.item set x = 'infinity' where n < 150`,
      /* sql */ `update public.item set n = n + 5000 where n between 20 and 80`,
      /* sql */ `delete from public.item where n between 90 and 190`,
    ];
    for (const changes of [few, many]) {
      for (const sql of changes) await feed.source.query(sql);
      await feed.apply();
      const { rows } = await feed.source.query<Record<string, unknown>>(read);
      expect((await feed.target.query<Record<string, unknown>>(read)).rows).toEqual(rows);
    }
  },
);
