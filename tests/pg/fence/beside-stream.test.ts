/** Installing a fence beside a stream: it shows that it is alive, and what it cannot do stops no change. */
import { expect, test } from 'vitest';
import { closeBesideStream } from '../../../postgres/fence/target-steps.ts';
import { installTriggers } from '../../../postgres/fence/install-triggers.ts';
import { recordedWork } from '../../support/control.ts';
import { fenced } from './fenced.ts';

test('every table that is locked by others is a heartbeat, and a failure on the target is logged instead of thrown, unless the step was stopped', async () => {
  await using f = await fenced(/* sql */ `create table a (); create table b (); create table c ()`);
  await f.fence.install(f.source, f.migration, f.input, recordedWork());
  const app = await f.app();
  await app.query(
    /* sql */ `begin; lock table a, b in row exclusive mode; lock table c in row exclusive mode`,
  );
  const work = recordedWork();
  const tables = ['a', 'b', 'c'].map((name) => ({
    ...{ schema: 'public', name, always: false, there: true },
  }));
  const { waiting } = await installTriggers(f.source, f.migration, tables, work);
  expect(waiting).toHaveLength(3);
  expect(work.beats).toHaveLength(3);
  await app.query('rollback');

  const gone = { ...f.migration, target: 'no-such-service' };
  const stream = recordedWork();
  await closeBesideStream(gone, stream);
  expect(stream.warnings).toEqual(['the fence of the target was not installed on every table']);
  stream.abort();
  await expect(closeBesideStream(gone, stream)).rejects.toThrow('stopped by the test');
});
