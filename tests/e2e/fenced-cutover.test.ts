/**
 * A cutover with a fence, while the application keeps trying to write: real databases, a real worker, Temporal's CLI. The ledger is
 * the application's own: what its commits returned, and nothing of walferry's.
 */
import { expect, test } from 'vitest';
import { BY_DEFAULT, Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

test('a cutover with the default fence stops the writers itself, says for how long, and leaves a sealed source that equals the target', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  const load = lab.load();
  await lab.start({ ...BY_DEFAULT, verify: 'before-cutover' });
  await lab.phase('stream');
  await until('some load', () => load.committed > 200);
  await until('a verification', async () => (await lab.progress()).verification?.last);
  const answer = await lab.update('cutover');
  expect(answer.code, answer.stderr + answer.stdout).toBe(0);
  expect(answer.stdout).toMatch(
    /Cutover complete: writes were stopped for \d+(\.\d)? s\. .* is ready/,
  );
  // What the load changed since the first verification was compared row by row.
  expect(answer.stdout).toMatch(
    /rows? changed since the verification at [0-9A-F/]+ and (is|are) the same/,
  );
  expect((await lab.ending()).status).toBe('COMPLETED');
  const { committed } = load;
  await load.stop();
  // It kept trying to the end, and nothing got through.
  expect(load.committed).toBe(committed);
  await lab.expectEqual();
  await lab.expectNothingLeft();
});
