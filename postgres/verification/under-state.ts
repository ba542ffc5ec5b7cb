/** Read-only transactions under the exported snapshots of a state, on any connection of any worker. */
import pg from 'pg';
import { SQLSTATE, sqlstate } from '../connection/failure.ts';
import { queryTogether } from '../session/query-together.ts';
import type { RecordedAnchor } from '../store/verification.ts';
import type { ComparedSide } from '../store/verification-piece.ts';
import type { HeldState } from './held-state.ts';

/** Errors of importing a snapshot whose session is gone; they depend on the version and on how it ended. */
const GONE = new Set<string | undefined>([
  SQLSTATE.invalidParameterValue,
  SQLSTATE.undefinedObject,
  SQLSTATE.notInPrerequisiteState,
]);

/**
 * Opens a transaction under the state. The names of snapshots are small counters that restart with the server, so the imported one
 * must show what was recorded.
 * @returns false if the state is over; the session has no open transaction then.
 */
export async function beginUnderState(
  client: pg.ClientBase,
  side: ComparedSide,
  { snapshots }: Pick<RecordedAnchor, 'snapshots'>,
): Promise<boolean> {
  const { name, visible } = snapshots[side];
  const seen = await beginUnderSnapshot(client, name);
  if (seen === null) return false;
  if (seen === visible) return true;
  await client.query(/* sql */ `rollback`);
  return false;
}

/**
 * What both snapshots of a state show, to recognize them later.
 * @returns null if the state is over.
 */
export async function recordedState(
  clients: Readonly<Record<ComparedSide, pg.ClientBase>>,
  state: HeldState,
): Promise<RecordedAnchor | null> {
  const { id, lsn, sourceSnapshot, targetSnapshot, visible } = state;
  const there = await beginUnderSnapshot(clients.target, targetSnapshot);
  if (there === null) return null;
  await clients.target.query(/* sql */ `rollback`);
  return {
    ...{ id, lsn },
    snapshots: {
      source: { name: sourceSnapshot, visible },
      target: { name: targetSnapshot, visible: there },
    },
  };
}

/** @returns what the snapshot shows; null if there is none of that name. */
async function beginUnderSnapshot(client: pg.ClientBase, name: string): Promise<string | null> {
  try {
    const [row] = await queryTogether<{ seen: string }>(
      client,
      /* sql */ `
      begin isolation level repeatable read read only;
      set transaction snapshot ${pg.escapeLiteral(name)};
      select pg_catalog.pg_current_snapshot()::text as seen`,
    );
    return row?.seen ?? '';
  } catch (error) {
    if (!GONE.has(sqlstate(error))) throw error;
    await client.query(/* sql */ `rollback`);
    return null;
  }
}
