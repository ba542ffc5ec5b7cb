/** Heartbeats of steps whose work a server does: on both sides, also before the migration is known on the target. */
import { expect, it } from 'vitest';
import type { Heartbeat } from '../../../contract/work.ts';
import { backendPidOf } from '../../../postgres/connection/socket.ts';
import { whileWatched } from '../../../postgres/session/liveness.ts';
import { migrationOf, registered } from '../../support/control.ts';
import { connectTo, freshPair } from '../../support/database.ts';
import { observed } from '../../support/observed.ts';
import { until } from '../../support/until.ts';

const SIDES = ['source', 'target'] as const;

it.each(SIDES.flatMap((side) => [true, false].map((known) => ({ side, known }))))(
  'a long statement on the $side sends heartbeats, migration registered: $known',
  async ({ side, known }) => {
    await using db = await freshPair();
    const migration = known ? await registered(db) : migrationOf(db);
    const client = side === 'source' ? db.sourceClient : db.targetClient;
    const beats: Heartbeat[] = [];
    const work = { beat: (details: Heartbeat) => void beats.push(details) };
    await whileWatched(
      [{ side, migration, purpose: 'preflight', pid: backendPidOf(client) }],
      work,
      () => ({ step: 'sleeping' }),
      async () => {
        const statement = observed(client.query(/* sql */ `select pg_sleep(60)`));
        try {
          await until('two beats', () => beats.length >= 2, { seconds: 15 });
        } finally {
          await using other = await connectTo(db[side]);
          await other.query(/* sql */ `
            select pg_cancel_backend(pid) from pg_stat_activity
             where datname = current_database() and query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`);
          await expect(statement).rejects.toMatchObject({ code: '57014' });
        }
      },
    );
    expect(beats[0]).toMatchObject({ step: 'sleeping' });
  },
);

it('a chain of steps that each end before their first check sends a heartbeat at the end of each', async () => {
  await using db = await freshPair();
  const said: unknown[] = [];
  for (const step of ['first', 'second']) {
    await whileWatched(
      [
        {
          side: 'source',
          migration: migrationOf(db),
          purpose: 'preflight',
          pid: backendPidOf(db.sourceClient),
        },
      ],
      { beat: (details) => void said.push(details['step']) },
      () => ({ step }),
      () => db.sourceClient.query(/* sql */ `select 1`),
    );
  }
  expect(said).toEqual(['first', 'second']);
});

it('a step that fails sends no heartbeat', async () => {
  await using db = await freshPair();
  const beats: Heartbeat[] = [];
  const failing = whileWatched(
    [
      {
        side: 'source',
        migration: migrationOf(db),
        purpose: 'preflight',
        pid: backendPidOf(db.sourceClient),
      },
    ],
    { beat: (details) => void beats.push(details) },
    () => ({ step: 'failing' }),
    () => db.sourceClient.query(/* sql */ `select 1/0`),
  );
  await expect(failing).rejects.toMatchObject({ code: '22012' });
  expect(beats).toEqual([]);
});
