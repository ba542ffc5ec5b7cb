/**
 * A database that goes down during a cutover: what the operator sees, cancelling the cutover, and a later cutover.
 */
import { expect, test } from 'vitest';
import { connectTo, sourceServer, targetServer } from '../support/database.ts';
import { Lab } from '../support/lab.ts';
import { LOAD_TABLES } from '../support/load.ts';
import { until } from '../support/until.ts';

/**
 * No one writes to it: a lock on it blocks the first step that looks at definitions.
 */
const STILL = /* sql */ `create table still (id int primary key); insert into still values (1)`;
/**
 * A failing step is shown after about 30 s at the latest; documented deadlines are asserted at twice their value.
 */
const SHOWN_WITHIN_SECONDS = 60;

test.each([
  ['target', () => targetServer(), (lab: Lab) => lab.pair.target],
  ['source', () => sourceServer(), (lab: Lab) => lab.pair.source],
] as const)(
  'a cutover whose %s is killed shows it and can be cancelled before the server is back; the stream continues, and a later cutover loses nothing',
  async (_, server, service) => {
    await using lab = await Lab.open(`${LOAD_TABLES}; ${STILL}`);
    await lab.worker();
    const load = lab.load();
    await lab.start();
    await lab.phase('stream');
    await until('some load', () => load.committed > 200);
    await load.stop();
    await using blocker = await connectTo(service(lab));
    await blocker.query('begin');
    await blocker.query('lock table still in access exclusive mode');

    const cutover = lab.update('cutover');
    await until(
      'the comparison',
      async () => (await lab.progress()).cutover?.step === 'compare definitions',
    );
    await server().kill();
    try {
      const {
        phase,
        state,
        cutover: step,
      } = await until(
        'the failure to be shown',
        async () => {
          const now = await lab.progress();
          return now.cutover?.failing?.code === 'Unreachable' ? now : null;
        },
        { seconds: SHOWN_WITHIN_SECONDS },
      );
      expect({ phase, state }).toEqual({ phase: 'cutover', state: 'running' });
      expect(step).toMatchObject({
        step: 'compare definitions',
        failing: {
          code: 'Unreachable',
          action: expect.stringContaining('pause cancels the cutover') as unknown,
        },
      });
      const pause = await lab.update('pause');
      expect(pause.code, pause.stderr).toBe(0);
      expect(pause.stdout).toMatch(
        /Cutover cancelled\. Paused at [0-9A-F]+\/[0-9A-F]+: everything committed before it/,
      );
      const answer = await cutover;
      expect(answer.code).not.toBe(0);
      expect(answer.stdout + answer.stderr).toMatch(
        /cutover cancelled by the operator in step "compare definitions": the slot is kept/,
      );
      expect(await lab.progress()).toMatchObject({ phase: 'stream', state: 'paused' });
    } finally {
      await server().start();
    }

    const more = lab.load();
    await until('more load', () => more.committed > 200);
    expect((await lab.update('resume')).code).toBe(0);
    await lab.finish();
  },
);

test('a cutover completes automatically when the database comes back', async () => {
  await using lab = await Lab.open(LOAD_TABLES);
  await lab.worker();
  const load = lab.load();
  await lab.start();
  await lab.phase('stream');
  await until('some load', () => load.committed > 200);
  await load.stop();
  await targetServer().kill();
  const cutover = lab.update('cutover');
  try {
    await until(
      'the failure to be shown',
      async () => (await lab.progress()).cutover?.failing?.code === 'Unreachable',
      { seconds: SHOWN_WITHIN_SECONDS },
    );
  } finally {
    await targetServer().start();
  }
  const answer = await cutover;
  expect(answer.code, answer.stderr).toBe(0);
  expect((await lab.ending()).status).toBe('COMPLETED');
  await lab.expectEqual();
  await lab.expectNothingLeft();
});
