/**
 * States of both sides for verifications, held by ordinary exported snapshots: for tests in which no one writes while a state is
 * taken, so that both snapshots show the same.
 */
import { randomBytes } from 'node:crypto';
import { parseLsn } from '../../contract/lsn.ts';
import type { HeldState, StandingSource } from '../../postgres/verification/held-state.ts';
import { connectTo, type FreshPair } from './database.ts';

export interface TestStates extends StandingSource {
  /** How many states were held. */
  readonly held: readonly HeldState[];
  /** Runs at the start of each hold, after its snapshots were taken: the number of the hold, from 1. */
  onHold: (count: number) => Promise<void>;
}

export function statesOf(db: Pick<FreshPair, 'source' | 'target'>): TestStates {
  const held: HeldState[] = [];
  let live: HeldState | null = null;
  const states: TestStates = {
    held,
    onHold: () => Promise.resolve(),
    live: () => Promise.resolve(live),
    hold: async (_migration, work, use) => {
      await using source = await connectTo(db.source);
      await using target = await connectTo(db.target);
      const taken = [];
      for (const client of [source, target]) {
        await client.query(/* sql */ `begin isolation level repeatable read read only`);
        const { rows } = await client.query<{ name: string; visible: string }>(
          /* sql */ `select pg_export_snapshot() as name, pg_current_snapshot()::text as visible`,
        );
        taken.push(rows[0] ?? { name: '', visible: '' });
      }
      const { rows } = await source.query<{ lsn: string }>(
        /* sql */ `select pg_current_wal_insert_lsn()::text as lsn`,
      );
      const state: HeldState = {
        id: randomBytes(4).toString('hex'),
        sourceSnapshot: taken[0]?.name ?? '',
        targetSnapshot: taken[1]?.name ?? '',
        visible: taken[0]?.visible ?? '',
        lsn: parseLsn(rows[0]?.lsn ?? ''),
      };
      held.push(state);
      live = state;
      try {
        await states.onHold(held.length);
        return await use(state, work.signal);
      } finally {
        live = null;
      }
    },
    holdStanding: (migration, work, locked, use) =>
      states.hold(migration, work, async (state) => {
        await locked.query(/* sql */ `begin`);
        await locked.query(/* sql */ `select from walferry.migration where id = $1 for update`, [
          migration.id,
        ]);
        return use(state);
      }),
  };
  return states;
}
