/** How much of the target's memory and workers index builds may use. */
import { expect, test } from 'vitest';
import { copySchema } from '../../../postgres/schema/copy-schema.ts';
import { buildIndexes } from '../../../postgres/schema/build-indexes.ts';
import { freshPair } from '../../support/database.ts';
import { inputOf, migrationOf, testWork } from './schema-fidelity.ts';

/** Settings under which the target built its indexes, as an event trigger of the test saw them. */
async function settings(
  more: Record<string, unknown>,
  { own, earlier = false }: { readonly own?: string; readonly earlier?: boolean } = {},
): Promise<unknown[]> {
  await using db = await freshPair();
  await db.sourceClient.query(
    /* sql */ `create table t (id int primary key, v int); create index on t (v)`,
  );
  const migration = migrationOf(db);
  const input = inputOf(db, more);
  if (earlier) Reflect.deleteProperty(input, 'index');
  await copySchema(migration, input, testWork());
  await db.targetClient.query(/* sql */ `
    create table public.seen (memory text, helpers text);
    create function public.note() returns event_trigger language plpgsql as $$ begin
      insert into public.seen values (current_setting('maintenance_work_mem'), current_setting('max_parallel_maintenance_workers'));
    end $$;
    create event trigger note on ddl_command_end when tag in ('CREATE INDEX', 'ALTER TABLE') execute function public.note()`);
  if (own !== undefined) {
    await db.targetClient.query(`alter database ${db.target} set maintenance_work_mem = '${own}'`);
  }
  await buildIndexes(migration, input, testWork());
  const { rows } = await db.targetClient.query<{ memory: string; helpers: string }>(
    /* sql */ `select distinct memory, helpers from seen`,
  );
  return rows;
}

test('index builds get the memory and workers that the input sets', async () => {
  const index = { memoryMegabytes: 96, parallelWorkers: 3 };
  expect(await settings({ index })).toEqual([{ memory: '96MB', helpers: '3' }]);
});

test("by default each session gets its share of a quarter of shared_buffers, and never less than the target's setting", async () => {
  // The test's servers have 128 MB of shared_buffers.
  const small = { own: '1MB' };
  expect(await settings({ copy: { parallelism: 4 } }, small)).toEqual([
    { memory: '8MB', helpers: '2' },
  ]);
  expect(await settings({ copy: { parallelism: 1 } }, small)).toEqual([
    { memory: '32MB', helpers: '2' },
  ]);
  expect(await settings({}, { own: '300MB' })).toEqual([{ memory: '300MB', helpers: '2' }]);
});

test('an attempt whose input was written by an earlier version uses the defaults', async () => {
  expect(await settings({}, { earlier: true })).toEqual([{ memory: '64MB', helpers: '2' }]);
});
