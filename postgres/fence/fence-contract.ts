/** What every kind of fence does, so that the cutover need not know which one it has. `fenceOf` (kinds.ts) makes them. */
import type {
  FenceInput,
  FenceKind,
  FenceRights,
  Gate,
  InstallReport,
  ProofReport,
  RemovalReport,
} from '../../contract/fence.ts';
import type { FenceTaking } from '../../contract/fence-change.ts';
import type { MigrationInput } from '../../contract/input-schema.ts';
import type { Migration } from '../../contract/migration.ts';
import type { Work } from '../../contract/work.ts';
import type pg from 'pg';
import type { Session } from '../session/session.ts';

export type FencedInput = MigrationInput & FenceInput;

export interface Arming {
  /** Id of the cutover; one that was ever used is refused. */
  readonly cutover: string;
  /** How long the fence refuses writes, by the clock of the server that keeps the gate; more than 0. */
  readonly milliseconds: number;
  /** A rehearsal: the operator's commands get `REHEARSAL=1`. */
  readonly rehearsal?: boolean;
  /** Ends an operator's command that is running. */
  readonly signal?: AbortSignal;
  /** When the attempt was scheduled, milliseconds on the scheduler's clock: one that was overtaken arms nothing that stays. */
  readonly scheduledAt?: number;
}

export interface Proving {
  /** Milliseconds after which a writer that is left makes the proof fail. */
  readonly withinMs: number;
  /** Ends sessions that still write after a while; never prepared transactions. */
  readonly endSessions: boolean;
}

/**
 * All functions are idempotent and work on a session of the source, outside of a transaction. Only `install` and `remove` lock
 * tables, each alone and for a moment.
 */
export interface Fence {
  readonly kind: FenceKind;
  /** The side that has the gate: deadlines are by its clock. */
  readonly keeper: 'source' | 'target';
  /** What the rights allow, and what passes it. Changes nothing. */
  rights(source: pg.ClientBase, input: FencedInput): Promise<FenceRights>;
  /**
   * Prepares it, open: long before, and again until nothing is `waiting`.
   * @throws MigrationError `FenceRefused`, `Denied`.
   */
  install(
    source: Session,
    migration: Migration,
    input: FencedInput,
    work: Work,
  ): Promise<InstallReport>;
  /** The gate; null before `install`, and after `remove`. */
  gate(source: Session, migration: Migration): Promise<Gate | null>;
  /**
   * Refuses writes from now until the deadline. An attempt that repeats itself while the gate is still armed for this cutover gets
   * the same deadline, never a later one.
   * @throws MigrationError `CutoverRepeated` for a cutover id that was used before; `FenceRefused` if another cutover has the gate
   *   or it is not installed.
   */
  arm(source: Session, migration: Migration, arming: Arming): Promise<{ deadline: string }>;
  /**
   * Returns when every transaction that wrote before the fence was armed or sealed has ended, and proves that every selected table
   * has the fence. Asks for no lock.
   * @throws MigrationError `WriterRemains` naming pid, user, application_name and since; `FenceRefused` naming tables without it.
   */
  prove(source: Session, migration: Migration, work: Work, how: Proving): Promise<ProofReport>;
  /** Arms, seals and opens it on a table of ours, and looks whether it refuses. Changes nothing. Unset: there is nothing to try. */
  readonly probe?: (source: Session, migration: Migration) => Promise<void>;
  /** Refuses for ever. @returns false: the deadline has passed, or the gate is not armed for this cutover. True also when repeated. */
  seal(source: Session, migration: Migration, cutover: string): Promise<boolean>;
  /** Gives the writes back. Does nothing when another cutover has the gate. Drops nothing, waits for no one's table. */
  open(source: Session, migration: Migration, cutover: string): Promise<void>;
  /** Gives back what was taken in addition; the writes stay as they are. After the switch, before what is stored goes. Unset: nothing was. */
  readonly giveBackExtras?: (source: Session, migration: Migration) => Promise<void>;
  /** What stays changed besides its own objects, as it is stored. After the switch, before what is stored goes. Unset: nothing does. */
  readonly stays?: (source: Session, migration: Migration) => Promise<readonly FenceTaking[]>;
  /** Removes what `install` made. @returns what is left: call it again later. */
  remove(source: Session, migration: Migration, work: Work): Promise<RemovalReport>;
}
