/** No false alarm: the schemas of the fidelity suite's cases are created on the target by walferry, and compared. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { parseInput } from '../../../contract/input.ts';
import { compareBack } from '../../../postgres/definition/compare-back.ts';
import { compareDefinitions } from '../../../postgres/definition/compare-definitions.ts';
import { buildConstraints } from '../../../postgres/schema/build-constraints.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { enableTriggers } from '../../../postgres/schema/disable-trigger.ts';
import { withWayBack } from '../../support/control.ts';
import { freshPair } from '../../support/database.ts';
import type { FidelityCase } from '../../support/fidelity/case.ts';
import { readFidelity } from '../../support/fidelity/folder.ts';
import { groupCases } from '../../support/fidelity/group.ts';
import { missingFor } from '../../support/fidelity/need.ts';
import { ROLES, Stage } from '../../support/fidelity/stage.ts';
import { migrationOf, testWork } from '../schema/schema-fidelity.ts';

const SEED = 1;
const { cases } = readFidelity(path.resolve(import.meta.dirname, '../../fidelity'), SEED);
// Tables that a case creates on the target itself differ on purpose; what only the stream has is not needed.
const moved = cases.filter(
  ({ refused, sections }) =>
    refused === null && sections.starting.length === 0 && sections.target.length === 0,
);
const groups = groupCases(moved).map((group, at) => [at, group] as const);

test('nearly all cases of the suite are compared', () => {
  expect(groups.flatMap(([, group]) => group).length).toBeGreaterThan(50);
});

test.each(groups)(
  'the schemas of group %i of the fidelity suite show no difference, and none on the way back',
  async (_, group) => {
    const { encodings, input: more } = group[0] ?? expect.fail('an empty group');
    await using db = await freshPair({}, encodings);
    for (const client of [db.sourceClient, db.targetClient]) await client.query(ROLES);
    const present: FidelityCase[] = [];
    for (const one of group) {
      if ((await missingFor(one, db.sourceClient, db.targetClient)) === null) present.push(one);
    }
    for (const one of present) {
      await using source = new Stage(one, db.source);
      await source.begin();
      await source.run(one.sections.schema);
      await source.withdraw();
    }
    const parsed = parseInput({ source: db.source, target: db.target, ...more });
    const input = parsed.ok ? parsed.input : expect.fail(parsed.message);
    const migration = migrationOf(db);
    await copySchema(migration, input, testWork());
    await buildIndexes(migration, input, testWork());
    await buildConstraints(migration, input, testWork());
    await enableTriggers(migration);
    expect(await compareDefinitions(migration, input)).toEqual([]);
    await withWayBack(db, migration);
    expect(await compareBack(migration, input)).toEqual([]);
  },
  // Some fifty schemas are dumped, restored and compared.
  600_000,
);
