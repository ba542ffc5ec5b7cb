/** Everything that can happen to a migration. */
import type { GivenApproval } from '../../contract/approval.ts';
import type { HeldCutover } from '../../contract/cutover-request.ts';
import type { DefinitionReport } from '../../contract/definition.ts';
import type { FenceTaking } from '../../contract/fence-change.ts';
import type { FenceKind, FenceSetting } from '../../contract/fence.ts';
import type { GuardReport } from '../../contract/guard.ts';
import type { Limits } from '../../contract/limits.ts';
import type { Lsn } from '../../contract/lsn.ts';
import type { ReadinessFacts } from '../../contract/readiness.ts';
import type { ReadinessCode } from '../../contract/readiness-finding.ts';
import type { PlaceWait, Waiting } from '../../contract/progress.ts';
import type {
  Checkpoint,
  CopyPlan,
  CopyResult,
  CopyRun,
  LeftOut,
  LeaseReport,
} from '../../contract/work.ts';
import type { OldDatabase } from '../../contract/finalize.ts';
import type { CutoverWindow } from '../../contract/window.ts';
import type { Back } from './back.ts';
import type { Reason } from './reason.ts';
import type { VerificationFact } from './verification-fact.ts';

type Totals = Readonly<Record<'indexes' | 'constraints', number | null>>;

/** Leads from one stage to another, or is refused: see `MOVES` in transition.ts. */
export type Move =
  | { readonly type: 'schemaBegun' }
  | { readonly type: 'copyBegun' }
  | { readonly type: 'resyncBegun' }
  | { readonly type: 'indexingBegun' }
  | { readonly type: 'streamBegun' }
  | { readonly type: 'resynced' }
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  | { readonly type: 'cutover' }
  /** A cutover that may not begin yet: it is kept. */
  | { readonly type: 'cutoverHeld'; readonly request: Omit<HeldCutover, 'at'> }
  | { readonly type: 'approve'; readonly given: GivenApproval }
  | { readonly type: 'await-cutover' }
  | { readonly type: 'rehearse' }
  | { readonly type: 'abort' }
  | {
      readonly type: 'setLimits';
      readonly values: Limits;
      readonly version: number;
      readonly stored: number;
    }
  /** A verification begins. `repair`: it first copies the differing rows again. */
  | {
      readonly type: 'verify' | 'repair';
      readonly id: string;
      readonly by: 'operator' | 'input';
    }
  | { readonly type: 'operatorNeeded'; readonly waiting: Waiting }
  | { readonly type: 'finalize'; readonly oldDatabase?: OldDatabase }
  /** The application is on the target, and its changes are streamed back from here on. */
  | { readonly type: 'wayBackBegun'; readonly at: Lsn; readonly back: Back }
  /** However it ended: the operator, the time, a switch back, a cancellation. */
  | { readonly type: 'wayBackOver' }
  | { readonly type: 'releaseBegun' }
  /** @property changes what the fence is about to change besides its own objects. */
  | {
      readonly type: 'boxBegun';
      readonly cutover: string;
      readonly changes?: readonly FenceTaking[];
    }
  /** @property downtimeMs as the databases measured it; null: not known. */
  | { readonly type: 'switched'; readonly downtimeMs?: number | null }
  | {
      readonly type: 'cutoverUndone';
      readonly reason?: Pick<Reason, 'code' | 'message'>;
      /** It was a rehearsal. */
      readonly rehearsed?: true;
    }
  | {
      readonly type: 'cutoverCancelled';
      /** It was a rehearsal. */
      readonly rehearsed?: true;
    }
  | { readonly type: 'completed' }
  | { readonly type: 'cancelled' }
  | { readonly type: 'failed' }
  | { readonly type: 'closed' };

/** Changes what is known, in any stage: results of steps may arrive after the stage has changed. */
export type Fact =
  | { readonly type: 'preflightNoted'; readonly notes: readonly string[] }
  /** Of an input that names none. */
  | { readonly type: 'fenceChosen'; readonly fence: FenceKind }
  | {
      readonly type: 'schemaCopied';
      readonly totals: Totals;
      readonly leftOut: LeftOut | undefined;
      readonly notes: readonly string[];
    }
  | { readonly type: 'slotBegun' }
  | { readonly type: 'windowSet'; readonly window: CutoverWindow }
  /** A kept cutover will not begin, and why: the window has passed, or it was withdrawn. */
  | { readonly type: 'cutoverDropped'; readonly why: string }
  | { readonly type: 'slotCreated'; readonly consistentLsn: Lsn }
  | { readonly type: 'planned'; readonly plan: CopyPlan }
  | { readonly type: 'guardBegun' }
  | { readonly type: 'guardReported'; readonly report: GuardReport }
  | { readonly type: 'runCopied'; readonly result: CopyResult }
  | { readonly type: 'runFailed'; readonly run: CopyRun; readonly reason: Reason }
  | { readonly type: 'copyStopped' }
  | { readonly type: 'rowsCopied' }
  | { readonly type: 'indexesBuilt'; readonly built: number | null; readonly total: number | null }
  | { readonly type: 'tablesAnalyzed'; readonly tables: number }
  | {
      readonly type: 'constraintsListed';
      readonly built: number | null;
      readonly total: number | null;
    }
  | { readonly type: 'constraintsBuilt' }
  | { readonly type: 'constraintsLost' }
  | { readonly type: 'viewsRefreshed'; readonly skipped: readonly string[] }
  | { readonly type: 'resyncNeeded'; readonly reason: Reason }
  | { readonly type: 'attemptBegun' }
  | { readonly type: 'attemptReported'; readonly report: LeaseReport }
  | { readonly type: 'fenced'; readonly checkpoint: Checkpoint }
  /** No attempt reported the position of a pause, or the query for it fails: then with the reason. */
  | { readonly type: 'positionUnknown'; readonly reason: Reason | null }
  /** Values of the live database that the fence is about to replace. */
  | { readonly type: 'settingsNoted'; readonly settings: readonly FenceSetting[] }
  /**
   * @property deadline null: the writes do not come back by themselves.
   * @property seconds from the arming to the deadline.
   * @property ended sessions that were ended.
   */
  | {
      readonly type: 'armed';
      readonly deadline: string | null;
      readonly seconds?: number;
      readonly ended?: number;
    }
  | { readonly type: 'sealed' }
  /** The cutover is undone on both servers: whoever was refused may write again. */
  | { readonly type: 'writesReturned' }
  /** After the switch, the side that was left: what its fence has changed besides its own objects, and keeps. */
  | { readonly type: 'sourceLooked'; readonly stays: readonly FenceTaking[] }
  /** The old database takes writes again: after a switch back, or as `finalize` asked for. */
  | { readonly type: 'oldOpened' }
  | { readonly type: 'stepBegun'; readonly step: string }
  | {
      readonly type: 'stepFailing';
      readonly code: Reason['code'];
      readonly reason: string;
      readonly action: string;
    }
  | { readonly type: 'triggersEnabled' }
  | { readonly type: 'triggersDisabled' }
  | { readonly type: 'differencesFound'; readonly differences: readonly string[] }
  | { readonly type: 'definitionsCompared'; readonly report: DefinitionReport }
  | { readonly type: 'readinessAssessed'; readonly facts: ReadinessFacts }
  /** How long the checks of a cutover take, while the application writes. */
  | { readonly type: 'checksMeasured'; readonly seconds: number }
  | { readonly type: 'findingsAccepted'; readonly codes: readonly ReadinessCode[] }
  | { readonly type: 'wayBackOpened' }
  | { readonly type: 'wayBackAdvanced'; readonly position: Lsn | null }
  | { readonly type: 'wayBackNoted'; readonly note: string | null }
  /** Its slot could not be made, or advanced. */
  | { readonly type: 'wayBackFailed'; readonly reason: Pick<Reason, 'code' | 'message'> }
  | { readonly type: 'placeWaited'; readonly wait: PlaceWait | null }
  | { readonly type: 'limitsStored'; readonly values: Limits; readonly version: number }
  | { readonly type: 'limitsUnstored'; readonly reason: Reason | null }
  | VerificationFact;

export type Event = Move | Fact;
