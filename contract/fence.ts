/**
 * How a migration stops the writes for its cutover: the fields of the input, and what the steps of the fence report. Pure. The
 * fence on the source is armed with a deadline and gives the writes back by itself; the target is closed from its first row on.
 */
import * as v from 'valibot';
import type { FenceTaking } from './fence-change.ts';
import { described } from './described.ts';

/**
 * `trigger`: a trigger refuses writes. `roles`: the rights to write are revoked and granted back. `command`: the operator's own
 * command, from the worker's configuration. `none`: the operator stops the writers.
 */
export const FENCE_KINDS = ['trigger', 'roles', 'command', 'none'] as const;
export type FenceKind = (typeof FENCE_KINDS)[number];

/** `fence` of the input. */
export const fenceField = v.optional(
  described(
    v.picklist(FENCE_KINDS, 'must be "trigger", "roles", "command" or "none"'),
    'How the writes on the source are stopped for the cutover. `"trigger"`: a trigger on each selected table refuses them, also those of superusers. `"roles"`: the rights to write are revoked and granted back exactly. `"command"`: the programs that `WALFERRY_FENCE_CLOSE` and `WALFERRY_FENCE_OPEN` name on the worker. `"none"`: you stop the writers. Unset: `"trigger"` where the rights and the source allow it, otherwise `"none"`, with a warning of preflight that says what is missing.',
  ),
);

const flag = v.boolean('must be true or false');

/** `fenceExtras` of the input. */
export const fenceExtrasField = v.optional(
  v.strictObject({
    endSessions: v.optional(
      described(
        flag,
        'End the sessions whose writing transaction does not end in time, instead of undoing the cutover. Prepared transactions are never ended.',
      ),
      false,
    ),
    readOnlyDefault: v.optional(
      described(
        flag,
        "Set `default_transaction_read_only` for the source's database while the fence stops the writes: new sessions are read-only unless they say otherwise.",
      ),
      false,
    ),
    connect: v.optional(
      described(
        flag,
        "Revoke CONNECT on the source's database from everybody else while the fence stops the writes. Superusers and open sessions stay.",
      ),
      false,
    ),
    connectionLimit: v.optional(
      described(
        flag,
        "Set the connection limit of the source's database to 0 while the fence stops the writes: only superusers get in, so walferry must be one.",
      ),
      false,
    ),
  }),
  {},
);
export type FenceExtras = v.InferOutput<typeof fenceExtrasField>;

/** Those that change a setting of the database. None of them binds an open session. */
export const DATABASE_EXTRAS = ['readOnlyDefault', 'connect', 'connectionLimit'] as const;
export type DatabaseExtras = Pick<FenceExtras, (typeof DATABASE_EXTRAS)[number]>;

/** A previous value of the database as text; null: there was none. Small and free of secrets. */
export const fenceSetting = v.pipe(
  v.object({ what: v.picklist(DATABASE_EXTRAS), previous: v.nullable(v.string()) }),
  v.readonly(),
);
export type FenceSetting = v.InferOutput<typeof fenceSetting>;

/** What the steps of the fence read of the input; both are unset in inputs of earlier code. */
export interface FenceInput {
  readonly fence?: FenceKind | undefined;
  readonly fenceExtras?: FenceExtras | undefined;
}

/** Result of installing the fence. Lists of names are bounded to {@link MOST_NAMED}. */
export interface InstallReport {
  /** Tables that have the fence now. */
  readonly tables: number;
  /** Tables that do not have it yet: they were locked, for example by VACUUM. Call it again. */
  readonly waiting: readonly string[];
  /** Ancestors that are not selected: the fence also refuses writes through them to these unselected children. */
  readonly also: readonly string[];
  /** Whether the fence also binds sessions in replica role: only where walferry owns the table. */
  readonly always: boolean;
  /** Values of the database that its extras will replace; unset: it has none. */
  readonly settings?: readonly FenceSetting[];
  /** What arming it will change besides its own objects; unset: nothing. */
  readonly changes?: readonly FenceTaking[];
}

/** Most tables, writers or objects that one report or message names. */
export const MOST_NAMED = 20;

export interface ProofReport {
  /** Transactions that wrote when the proof began, and have ended. */
  readonly holders: number;
  /** Sessions that walferry ended. */
  readonly ended: number;
  readonly waitedMs: number;
}

export interface RemovalReport {
  /** What is left on the server, by name; empty when nothing is. */
  readonly left: readonly string[];
}

/** State of the gate: what the fence's function does now. */
export interface Gate {
  /** `armed`: refuses until `deadline`. `sealed`: refuses for ever. `closed`: the target before its release. */
  readonly state: 'open' | 'armed' | 'sealed' | 'closed';
  readonly cutover: string | null;
  /** ISO, UTC, by the clock of the server that has the gate; null unless armed or sealed. */
  readonly deadline: string | null;
  /** Whether the deadline of an armed gate has passed: writes go on. */
  readonly expired: boolean;
}

/** The kind that an input without one gets where it can be made, and the finding that says that it cannot. */
export const DEFAULT_FENCE: FenceKind = 'trigger';
export const NO_DEFAULT_FENCE = 'fence-default';

/** What the rights allow, and what each kind leaves open. */
export interface FenceRights {
  readonly kind: FenceKind;
  /** The input asks for none, and this is the default. */
  readonly byDefault?: true;
  /** Why this kind cannot be taken; empty: it can. */
  readonly missing: readonly string[];
  /** What writes in spite of the fence, each with what to do. Names only. */
  readonly passes: readonly Passing[];
}

export interface Passing {
  /** Stable name of the way past the fence, for `accept` and for tests. */
  readonly name: string;
  readonly what: string;
  readonly action: string;
  /** True: the fence must not be relied on while it is there. */
  readonly refuses: boolean;
}
