/**
 * Between major versions every type prints alike, so equal rows are never reported, and a difference is found as between equal
 * versions. The values are those of the fidelity suite.
 */
import path from 'node:path';
import { expect, test } from 'vitest';
import { findOther } from '../../../scripts/local/setup/versions.ts';
import { freshPair } from '../../support/database.ts';
import { readFidelity } from '../../support/fidelity/folder.ts';
import { ROLES, Stage } from '../../support/fidelity/stage.ts';
import { readyWithRows, verify } from '../../support/verifying.ts';
import { serverOf } from '../../support/versions.ts';

/** Types whose text could depend on the version; each case has them in arrays, domains, composites, keys and without a key. */
const CASES = [
  ...['number', 'date_time', 'binary', 'geometry', 'range', 'search', 'server'],
  ...['network', 'json', 'composed', 'money'],
];
/** Not the case of texts: from 18 on `E'\\v'` is another character, so the same statement stores other values. */
const CHARACTERS = /* sql */ `
  create type one as (v text);
  create table characters (id int primary key, v text, list text[], rest one);
  insert into characters select i, chr(i), array[chr(i), 'a' || chr(i)], row(chr(i))::one
    from generate_series(1, 12300) i`;
const FOLDER = path.join(import.meta.dirname, '../../fidelity');

const newest = findOther(18);

test.skipIf(!newest)(
  'from this version to 18 the values of every type are equal, and one that differs is found',
  async () => {
    if (!newest) throw new Error('not fetched');
    await using target = await serverOf('target', newest);
    await using db = await freshPair({ target });
    const cases = readFidelity(FOLDER, 1).cases.filter(({ name }) => CASES.includes(name));
    expect(cases).toHaveLength(CASES.length);
    for (const [client, service] of [
      [db.sourceClient, db.source],
      [db.targetClient, db.target],
    ] as const) {
      await client.query(ROLES);
      await client.query(CHARACTERS);
      for (const one of cases) {
        await using stage = new Stage(one, service);
        await stage.begin();
        await stage.run(one.sections.schema);
      }
    }
    const migration = await readyWithRows(db);
    const { report } = await verify(db, migration);
    expect(report).toMatchObject({ result: 'equal', differing: [], notCompared: [] });
    expect(report.tables).toBeGreaterThan(CASES.length * 3);
    await db.targetClient.query(/* sql */ `
      update number.numeric_value set v = '1.00' where id = (select min(id) from number.numeric_value where v is not null)`);
    const { report: after } = await verify(db, migration);
    expect(after.differing).toHaveLength(1);
  },
);
