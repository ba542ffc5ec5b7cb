/** What the steps of a fenced cutover get and report. Flat JSON: it is in the workflow's history. */
import type { FailureCode } from './failure-catalogue.ts';
import type { FenceInput, FenceSetting } from './fence.ts';
import type { FenceTaking } from './fence-change.ts';
import type { Lsn } from './lsn.ts';
import type { Migration } from './migration.ts';
import { sharedId } from './reversed.ts';
import type { SequenceReport } from './work.ts';

/** How a cutover ended: the first row in `walferry.outcome` on the target says it, and nothing else. */
export type Decided = 'switched' | 'undone';

/**
 * The id of a cutover. It names its migration, so that whoever finds one in the gate of the source knows whose it is: the outcome
 * of another migration is on another target.
 * @param unique never used before, for example `uuid4()` in workflow code.
 */
export function cutoverId({ id }: Migration, unique: string): string {
  return `${id}/${unique}`;
}

/** Whether the id belongs to this migration. The cutover of a switch back has the id of the migration that it returns from. */
export function isOwnCutover({ id }: Migration, cutover: string): boolean {
  return cutover.startsWith(`${sharedId(id)}/`);
}

/** The id of the migration that a cutover belongs to. */
export function migrationOf(cutover: string): string {
  return cutover.split('/', 1)[0] ?? cutover;
}

/** How writes are stopped, and for how long at most. */
export interface Box {
  readonly cutover: string;
  /** The deadline, from the moment of arming and by the source's clock; more than 0. */
  readonly milliseconds: number;
  /** End sessions that still write, where the operator asked for it. */
  readonly endSessions: boolean;
  /** A rehearsal: it is undone in any case. */
  readonly rehearsal?: true;
}

/** Result of arming and proving: no one writes, and everything committed is before `mark`. */
export interface Armed {
  readonly decided: null;
  /** ISO, by the source's clock: from then on the source takes writes again, unless it is sealed. */
  readonly deadline: string;
  readonly mark: Lsn;
  /** Transactions that wrote when the proof began, and how long they took to end. */
  readonly holders: number;
  readonly waitedMs: number;
  /** Sessions that were ended; unset: none. */
  readonly ended?: number;
}

/** Result of sealing; `mark: null`: too late, the deadline has passed. */
export interface Sealed {
  readonly decided: null;
  readonly mark: Lsn | null;
}

/** The outcome was there already: what a step finds that was overtaken. */
export interface AlreadyDecided {
  readonly decided: Decided;
}

/** Result of the release, and of an undo that found it. */
export interface OutcomeReport {
  readonly decided: Decided;
  /** End of the release's message in the target's WAL; null when undone. */
  readonly releaseLsn: Lsn | null;
  /** From arming to the end of the release, by the source's clock; null when undone. */
  readonly downtimeMs: number | null;
}

export interface SwitchReport extends OutcomeReport {
  /** Null when the outcome was there already: the answer of the attempt that decided was lost. */
  readonly sequences: SequenceReport | null;
  /** Check constraints that differ from the source. */
  readonly differences: readonly string[];
}

/** What is known before the writes are stopped. */
export interface Prepared {
  /** Id of a cutover that has switched already: a run before a reset did. The other fields are empty then. */
  readonly switched: string | null;
  readonly releaseLsn: Lsn | null;
  readonly downtimeMs: number | null;
  /** The oldest transaction that writes selected tables at this moment, by pid and user; null: none is seen. */
  readonly writer: string | null;
  readonly writerMs: number;
  /** Values of the source's database that the fence replaces and gives back; unset: none. */
  readonly settings?: readonly FenceSetting[];
  /** What the fence will change besides its own objects; unset: nothing. */
  readonly changes?: readonly FenceTaking[];
}

/** Tables named in a {@link ChangedReport}. */
export const MOST_NOT_CHECKED = 20;

/** The comparison of rows that changed since the last verification, while no one writes. */
export interface ChangedReport {
  /** Position of the newest anchor of that verification; null: there is none, and nothing was compared. */
  readonly since: Lsn | null;
  /** Tables whose changed rows were compared, and those rows. */
  readonly tables: number;
  readonly rows: number;
  /** `schema.table: reason`, bounded to {@link MOST_NOT_CHECKED}: their rows are only counted. */
  readonly notCompared: readonly string[];
  /** How many more are not named; unset for none. */
  readonly more?: number;
}

/** The comparison of every row, while no one writes. */
export interface EveryRowReport {
  readonly tables: number;
  readonly rows: number;
  /** `schema.table: reason`, bounded to {@link MOST_NOT_CHECKED}. */
  readonly notCompared: readonly string[];
}

/** What the operator's own SQL and command did after the release. */
export interface AfterRelease {
  /** Statements that ended without an error, also in an earlier attempt. */
  readonly statements: number;
  /** The statement that failed, counted from 1; those after it were not run. Null: none. */
  readonly failed: { readonly statement: number; readonly sqlstate: string | null } | null;
  /** Name of the program that was run; null: the worker has none, or a statement failed before. */
  readonly command: string | null;
  /** How it failed, as a verb phrase; null: it did not. */
  readonly commandFailed: string | null;
}

/** How long the checks take in this migration. */
export interface ChecksMeasured {
  readonly seconds: number;
}

/** The end of a cutover, tried and rolled back. */
export interface SwitchRehearsed {
  readonly releaseMs: number;
  /** Triggers and rules that were enabled in it. */
  readonly triggers: number;
  /** Of the fence on a table of walferry's own; null: this kind has nothing to try. */
  readonly probeMs: number | null;
}

/** What was found on the source after the switch. */
export interface SourceLook {
  /** The source had lost its seal, as after a failover to an asynchronous standby: it was sealed again. */
  readonly sealedAgain: boolean;
  /** Tables that were written after the second mark, as `schema.name`: those rows are on the source only. Bounded. */
  readonly late: readonly string[];
  /** Why writes were not looked for after it was sealed again. Unset: they were. */
  readonly unchecked?: { readonly code: FailureCode; readonly message: string };
  /** What the fence has changed besides its own objects, and stays changed. Unset in answers of earlier code. */
  readonly changes?: readonly FenceTaking[];
}

/** Whether walferry stops the writes itself. Inputs of earlier code have no fence. */
export function isFenced({ fence = 'none' }: FenceInput): boolean {
  return fence !== 'none';
}
