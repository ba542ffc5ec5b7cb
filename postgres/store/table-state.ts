/**
 * The state machine of a table: what may happen to it, in which state, and where that leads. Every statement that changes
 * `walferry.relation.state` takes its condition and its new state from {@link MOVES}, so none can make another move.
 */
import { MigrationError } from '../../contract/failure.ts';
import type { TableState } from '../../contract/table-state.ts';

interface Move {
  readonly from: readonly TableState[];
  readonly to: TableState;
}

/** A table in these states is taken by a pass: alone, or with its tree, whose other tables may be complete. */
const TAKEN = ['pending', 'copying', 'catching-up', 'ready', 'resync'] as const;
const PLANNED = [...TAKEN, 'absent'] as const;

export const MOVES = {
  /** A pass takes the table and cuts it into chunks. */
  taken: { from: TAKEN, to: 'copying' },
  /** A pass takes the table, but its snapshot does not contain it. */
  missed: { from: TAKEN, to: 'absent' },
  /** Its last chunk is marked. */
  copied: { from: ['copying'], to: 'catching-up' },
  /**
   * A partition that was created in its place: all of its rows come through the stream. Or a table of a way back, whose rows both
   * sides hold when it starts.
   */
  joined: { from: ['pending'], to: 'catching-up' },
  /** The stream has confirmed the LSN of the pass's snapshot. */
  confirmed: { from: ['catching-up'], to: 'ready' },
  /** Its changes cannot be followed, or its rows cannot be copied under this snapshot. */
  spoiled: { from: PLANNED, to: 'resync' },
  /** Another table has its name now; one that was never copied stays pending. */
  recreated: { from: ['copying', 'catching-up', 'ready', 'resync', 'absent'], to: 'resync' },
  /** The target's table of a marked root is empty; its partitions are taken with it. */
  emptied: { from: ['resync'], to: 'ready' },
  gone: { from: [...PLANNED, 'dropped'], to: 'dropped' },
  /** A table of that name is back. */
  returned: { from: ['dropped'], to: 'pending' },
  /** A partitioned table of that name is back, or replaced a table. It has no rows of its own. */
  partitioned: { from: [...PLANNED, 'dropped'], to: 'ready' },
  /** A table replaced a partitioned one. */
  unpartitioned: { from: ['ready'], to: 'pending' },
} as const satisfies Record<string, Move>;

export type TableEvent = keyof typeof MOVES;

/** The condition of a statement: whether the event may happen in the row's state. */
export function may(event: TableEvent, row = 'r'): string {
  return `${row}.state in (${MOVES[event].from.map(literal).join(', ')})`;
}

/** The state after the event. */
export function after(event: TableEvent): string {
  return literal(MOVES[event].to);
}

function literal(state: TableState): string {
  return `'${state}'`;
}

/**
 * For a statement that must change all of its rows: one that it did not find is in a state without this move, or not in the plan.
 * @throws MigrationError `Internal`; the transaction must not commit.
 */
export function requireMoved(event: TableEvent, moved: number | null, wanted: number): void {
  if (moved === wanted) return;
  throw new MigrationError(
    'Internal',
    `${wanted - (moved ?? 0)} of ${wanted} tables in walferry.relation are not in a state in which they can be ${event}`,
    { object: 'walferry.relation' },
  );
}

/** What a table's state says about its copy. Partitioned tables have no rows, so no pass copies them. */
export type Standing =
  | { readonly kind: 'r'; readonly state: 'pending'; readonly pass: null }
  | {
      readonly kind: 'r';
      readonly state: 'copying' | 'catching-up' | 'ready' | 'absent';
      /** The pass that all its chunks belong to. */
      readonly pass: number;
    }
  | {
      readonly kind: 'r' | 'p';
      readonly state: 'resync';
      /** The pass that cannot copy it; null: it was never copied, or is a root, whose target table is to be emptied. */
      readonly pass: number | null;
      readonly reason: string;
    }
  | { readonly kind: 'p'; readonly state: 'ready'; readonly pass: null };

/** @throws MigrationError `Internal` for a combination that the control schema's checks exclude. */
export function standingOf(row: {
  readonly kind: 'r' | 'p';
  readonly state: TableState;
  readonly pass: number | null;
  readonly reason: string | null;
}): Standing {
  const { kind, state, pass, reason } = row;
  if (state === 'resync' && reason !== null) return { kind, state, pass, reason };
  if (kind === 'p' && state === 'ready') return { kind, state, pass: null };
  if (kind === 'r' && state === 'pending') return { kind, state, pass: null };
  const other = state === 'pending' || state === 'resync' || state === 'dropped';
  if (kind === 'r' && pass !== null && !other) return { kind, state, pass };
  throw new MigrationError(
    'Internal',
    `walferry.relation has a table of kind ${kind} that is ${state} in pass ${pass}`,
    { object: 'walferry.relation' },
  );
}
