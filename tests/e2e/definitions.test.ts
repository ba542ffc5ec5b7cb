/** DDL that no one ran on the target: found with a verification, shown, refused at the cutover, and corrected by the SQL that is named. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { shown } from '../support/exposure.ts';
import { Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../scripts/program.ts');

test('DDL since the schema copy is named with its SQL, refuses the cutover while it makes the target wrong, and is over when the SQL was run', async () => {
  await using lab =
    await Lab.open(/* sql */ `create table item (id int primary key, v text); insert into item select i, 'v' from generate_series(1, 50) i;
      create materialized view items as select count(*) as n from item`);
  await lab.worker();
  await lab.start();
  await lab.phase('stream');
  await until('the constraints to be built', async () => {
    const { readiness } = await lab.progress();
    return readiness?.ready === true ? true : null;
  });
  await lab.onSource(/* sql */ `
    create function twice(n int) returns int language sql as 'select 2 * n';
    create unique index item_v on item (id, v); comment on table item is 'secret words'`);
  const verified = await lab.update('verify');
  expect(verified.code, verified.stderr).toBe(0);
  expect(verified.stdout).toMatch(
    /The definitions have 3 differences, 2 of them make the target wrong.* 1 materialized view shows the same rows on both sides\./s,
  );
  const { definitions, readiness } = await lab.progress();
  expect(definitions?.report).toMatchObject({ wrong: 2, more: 0 });
  expect(readiness?.ready).toBe(false);
  expect(await lab.details()).toMatch(
    /blocks \[definition-differs\]: .*item_v is on the source only/,
  );
  const refused = await lab.update('cutover');
  expect(refused.stdout + refused.stderr).toMatch(/not ready: blocks \[definition-differs\]/);
  // SQL of definitions may hold what must not be in a history.
  const places = [...(await shown(lab, 'after the refusal')).values()];
  expect(places.join('\n')).not.toMatch(/secret words/);

  const { source, target } = lab.pair;
  const compare = () =>
    spawnSync(
      process.execPath,
      ['--import', 'tsx', PROGRAM, 'compare', source, target, '--migration', lab.id, '--json'],
      { encoding: 'utf8' },
    );
  const compared = compare();
  expect(compared, compared.stderr).toMatchObject({ status: 1 });
  const { definitions: named } = JSON.parse(compared.stdout) as {
    readonly definitions: readonly { readonly object: string; readonly run?: string }[];
  };
  expect(named.map(({ object }) => object)).toEqual([
    'function public.twice(integer)',
    'public.item: index item_v',
    'public.item',
  ]);
  for (const { run } of named) await lab.onTarget(run ?? expect.fail('no SQL'));
  expect(compare()).toMatchObject({ status: 0 });
  await lab.finish();
  // The control schema is gone: the comparison goes on without it.
  expect(compare()).toMatchObject({ status: 0 });
});
