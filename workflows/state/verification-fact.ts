/**
 * What is known of a migration's verifications after each event. A fact names its verification: one that arrives late, of a
 * verification that has ended or was replaced, changes nothing. Pure.
 */
import type {
  RepairReport,
  VerificationPlan,
  VerificationReport,
  VerificationRunReport,
} from '../../contract/verification.ts';
import {
  differingReport,
  NO_VERIFICATION,
  type RunningVerification,
  type VerificationState,
} from '../../contract/verification-state.ts';
import type { Reason } from './reason.ts';
import type { State } from './state.ts';

export type VerificationFact = { readonly id: string } & (
  | { readonly type: 'sliceBegun' }
  | { readonly type: 'verificationPlanned'; readonly plan: VerificationPlan }
  | { readonly type: 'piecesCompared'; readonly report: VerificationRunReport }
  | { readonly type: 'rowsRepaired'; readonly report: RepairReport }
  /** It cannot proceed for a reason that may pass: it retries. */
  | { readonly type: 'verificationFailing'; readonly reason: Reason }
  | { readonly type: 'verificationFailed'; readonly reason: Reason }
  | { readonly type: 'verificationEnded'; readonly report: VerificationReport }
);

export function verificationOf({ verification = NO_VERIFICATION }: State): VerificationState {
  return verification;
}

/** A verification begins; one that runs already is joined. */
export function verificationBegun(
  state: State,
  { type, id, by }: { type: 'verify' | 'repair'; id: string; by: RunningVerification['by'] },
  now: string,
): State {
  const before = verificationOf(state);
  if (before.running) return state;
  const repairs = type === 'repair' ? (differingReport(before)?.id ?? null) : null;
  const running: RunningVerification = {
    ...{ id, by, repairs, repaired: 0, since: now },
    ...{ counters: null, rows: 0, bytes: 0, slices: 0, failing: null },
  };
  return { ...state, verification: { ...before, running, failed: null } };
}

/** Tables are resynced: no report so far is about their rows, nor is what a running verification has compared. */
export function withResync(state: State): State {
  const { verification } = state;
  if (!verification) return state;
  return { ...state, verification: { ...verification, running: null, outdated: true } };
}

/** The migration ends: nothing is at work any more. */
export function withoutRunning(state: State): State {
  const { verification } = state;
  if (!verification?.running) return state;
  return { ...state, verification: { ...verification, running: null } };
}

/** The state after a fact of a verification. */
export function verificationNoted(state: State, event: VerificationFact, now: string): State {
  const before = verificationOf(state);
  const { running } = before;
  if (running?.id !== event.id) return state;
  const proceeding = (change: Partial<RunningVerification>): State => ({
    ...state,
    verification: { ...before, running: { ...running, ...change } },
  });
  switch (event.type) {
    case 'sliceBegun':
      return proceeding({ slices: running.slices + 1 });
    case 'verificationPlanned': {
      const { tables, tablesDone, pieces, done } = event.plan;
      return proceeding({ counters: { tables, tablesDone, pieces, done }, failing: null });
    }
    case 'piecesCompared':
      return proceeding(compared(running, event.report));
    case 'rowsRepaired':
      return proceeding({ repaired: running.repaired + event.report.rows, failing: null });
    case 'verificationFailing': {
      const { code, message } = event.reason;
      const since = running.failing?.since ?? now;
      return proceeding({ failing: { code, reason: message, since, seen: now } });
    }
    case 'verificationFailed': {
      const { code, message } = event.reason;
      const failed = { code, reason: message, at: now };
      return { ...state, verification: { ...before, running: null, failed } };
    }
    case 'verificationEnded':
      return { ...state, verification: ended(before, running, event.report, now) };
  }
}

function compared(
  { counters, rows, bytes }: RunningVerification,
  report: VerificationRunReport,
): Partial<RunningVerification> {
  return {
    ...{ rows: rows + report.rows, bytes: bytes + report.bytes },
    // The next plan corrects it: pieces of a table that takes another anchor count again.
    counters: counters && {
      ...counters,
      done: Math.min(counters.pieces, counters.done + report.pieces),
    },
  };
}

function ended(
  before: VerificationState,
  { repairs }: RunningVerification,
  report: VerificationReport,
  now: string,
): VerificationState {
  const after = { ...before, running: null, failed: null };
  const { last } = before;
  if (repairs === null || last === null) {
    return { ...after, last: { report, at: now }, outdated: false };
  }
  // The rows that did not differ are as old as before.
  return { ...after, last: { ...last, report: { ...report, seconds: last.report.seconds } } };
}
