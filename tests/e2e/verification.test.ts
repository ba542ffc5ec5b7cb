/** Verification of a real migration under load: kills, a foreign write, and its repair. */
import { expect, test } from 'vitest';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

/** Beside the tables of the load one that no one writes, large enough to be compared in many pieces. */
const TABLES = `${LOAD_TABLES}
  create table settled (id int primary key, filler text not null);
  insert into settled select i, repeat(md5(i::text), 8) from generate_series(1, 60000) i;`;

test('a verification under load survives the kill of its worker, and what it compared before is not compared again', async () => {
  await using lab = await Lab.open(TABLES);
  const first = await lab.worker();
  const load = lab.load();
  await lab.start({ verify: 'off', copy: { chunkMegabytes: 1 } });
  await lab.phase('stream');
  await until('a consistent target', async () => (await lab.progress()).tables?.ready === 4);
  // Slow enough to be met in the middle.
  await lab.update('setLimits', { copyBytesPerSecond: 2_000_000 });
  const answer = lab.update('verify');
  await until('some pieces', async () => (await marked(lab)).done > 2, { seconds: 120 });
  await first.kill();
  const before = await marked(lab);
  expect(before.done).toBeLessThan(before.all);
  await lab.worker();
  await lab.update('setLimits', { copyBytesPerSecond: 0 });
  const { code, stdout, stderr } = await answer;
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/Equal: every row is the same on both sides \(4 tables, [\d,]+ rows/);
  const { verification } = await lab.progress();
  expect(verification?.last?.report).toMatchObject({ result: 'equal', tables: 4, differing: [] });
  const committed = load.committed;
  await until('the load to go on', () => load.committed > committed + 20);
  await lab.finish();
});

test('one changed byte, one missing and one extra row on the target are found by table, repaired, and found equal, while the application writes', async () => {
  await using lab = await Lab.open(TABLES);
  await lab.worker();
  lab.load();
  await lab.start({ verify: 'before-cutover' });
  await lab.phase('stream');
  await until(
    'the first verification, which no one asked for',
    async () => (await lab.progress()).verification?.last?.report.result === 'equal',
    { seconds: 120 },
  );
  await lab.onTarget(/* sql */ `set walferry.apply = on`);
  await lab.onTarget(
    /* sql */ `update settled set filler = overlay(filler placing 'X' from 17) where id = 31000`,
  );
  await lab.onTarget(/* sql */ `delete from settled where id = 7`);
  await lab.onTarget(/* sql */ `insert into settled values (99999999, 'from elsewhere')`);
  const found = await lab.update('verify');
  expect(found.stdout, found.stderr).toMatch(
    /Different: 3 rows differ in public\.settled \(3\) .* repair copies these rows again/,
  );
  expect(await lab.details()).toContain('--name repair');
  const repaired = await lab.update('repair');
  expect(repaired.stdout, repaired.stderr).toMatch(
    /Repaired 3 rows and compared them again\. Equal: every row is the same on both sides \(4 tables/,
  );
  const again = await lab.update('verify');
  expect(again.stdout, again.stderr).toMatch(
    /Equal: every row is the same on both sides \(4 tables/,
  );
  await lab.finish();
});

async function marked(lab: Lab): Promise<{ done: number; all: number }> {
  const [row] = await lab.onTarget<{ done: number; all: number }>(
    /* sql */ `select count(done_at)::int as done, count(*)::int as all from walferry.verification_piece`,
  );
  return row ?? { done: 0, all: 0 };
}
