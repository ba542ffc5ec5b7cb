/** The query that lists what a unique index refuses, from the statement that pg_dump writes for it. */
import { expect, it } from 'vitest';
import { duplicatesOf } from '../../postgres/schema/duplicates.ts';

const COUNTED = 'count(*), array_agg(ctid) from only';

it.each([
  [
    'ALTER TABLE ONLY app.person\n    ADD CONSTRAINT person_mail UNIQUE (mail);',
    `select mail, ${COUNTED} app.person where mail is not null group by 1 having count(*) > 1`,
  ],
  [
    'ALTER TABLE ONLY "S s"."T (t)"\n    ADD CONSTRAINT "u (x)" UNIQUE NULLS NOT DISTINCT ("a, b", c) INCLUDE (d);',
    `select "a, b", c, ${COUNTED} "S s"."T (t)" group by 1, 2 having count(*) > 1`,
  ],
  [
    'CREATE UNIQUE INDEX i ON app.t USING btree (lower((mail)::text), n DESC NULLS LAST, body COLLATE "C" text_pattern_ops) WHERE (state = \'a;b\'::text);',
    `select lower((mail)::text), n, body COLLATE "C", ${COUNTED} app.t where (state = 'a;b'::text) and lower((mail)::text) is not null and n is not null and body COLLATE "C" is not null group by 1, 2, 3 having count(*) > 1`,
  ],
  [
    'CREATE UNIQUE INDEX i ON ONLY app.t USING btree (((a + b))) NULLS NOT DISTINCT;\n\nALTER TABLE app.t CLUSTER ON i;',
    `select ((a + b)), ${COUNTED} app.t group by 1 having count(*) > 1`,
  ],
])('%s', (sql, query) => {
  expect(duplicatesOf(sql)).toBe(query);
});

it.each([
  'CREATE INDEX i ON app.t USING btree (a);',
  'CREATE UNIQUE INDEX i ON app.t USING btree (a ~~~ b);',
  'CREATE UNIQUE INDEX i ON app.t USING btree (a',
  'ALTER TABLE ONLY app.t\n    ADD CONSTRAINT e EXCLUDE USING gist (a WITH &&);',
])('no query for what is not understood: %s', (sql) => {
  expect(duplicatesOf(sql)).toBeNull();
});
