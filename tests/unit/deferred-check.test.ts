/** Check constraints that are removed from the statements that create their tables. */
import { expect, test } from 'vitest';
import type { ArchiveEntry } from '../../postgres/archive/archive.ts';
import { deferChecks } from '../../postgres/archive/deferred-check.ts';

test('a check that is not enforced or not inherited is removed as a whole', () => {
  const table: ArchiveEntry = {
    ...{
      id: 1,
      oid: '16400',
      classOid: 1259,
      kind: 'TABLE',
      schema: 'app',
      name: 't',
      section: 'pre',
    },
    dependencies: [],
    sql: 'CREATE TABLE app.t (\n    id integer,\n    CONSTRAINT late CHECK ((id > f())) NO INHERIT NOT ENFORCED,\n    CONSTRAINT own CHECK ((id > 0))\n);',
  };
  const late = { schema: 'app', name: 't', constraint: 'late', functions: ['f'] };
  const { kept, checks } = deferChecks([table], [{ kind: 'TABLE', ...late }]);
  expect(kept.map(({ sql }) => sql)).toEqual([
    'CREATE TABLE app.t (\n    id integer,\n    CONSTRAINT own CHECK ((id > 0))\n);',
  ]);
  expect(checks.map(({ sql }) => sql)).toEqual([
    'ALTER TABLE "app"."t" ADD CONSTRAINT late CHECK ((id > f())) NO INHERIT NOT ENFORCED NOT VALID;',
  ]);
});
