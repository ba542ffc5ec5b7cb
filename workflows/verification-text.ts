/** A verification in words: answers of updates, Current Details, notes, `walferry watch`. Pure. */
import { listed } from '../contract/listed.ts';
import type { VerificationReport } from '../contract/verification.ts';
import {
  differingReport,
  standingOf,
  type RunningVerification,
  type VerificationState,
} from '../contract/verification-state.ts';
import type { At } from './state/stage.ts';
import { bytes, count, counted, duration, moment, percent } from './wording.ts';

/** Names per sentence; the remaining ones are counted. */
const SHOWN = 5;

/**
 * The answer of `verify` and `repair`: one sentence with the result, and what to do if it is not `equal`.
 * @param repaired rows that were repaired; null: none were to be.
 */
export function reportText(report: VerificationReport, repaired: number | null): string {
  if (repaired === null) return resultText(report, `, in ${duration(report.seconds)}`);
  const them = repaired === 1 ? 'it' : 'them';
  return `Repaired ${counted(repaired, 'row')} and compared ${them} again. ${resultText(report, '')}`;
}

function resultText(report: VerificationReport, took: string): string {
  const { result, tables, rows, lsn, differing } = report;
  const extent = `${counted(tables, 'table')}, ${counted(rows, 'row')}, ${bytes(report.bytes)}, at ${lsn}${took}`;
  const left = notCompared(report);
  if (result === 'equal') return `Equal: every row is the same on both sides (${extent}).${left}`;
  if (result === 'incomplete') {
    return `Incomplete: what was compared is the same on both sides (${extent}).${left}`;
  }
  const more = differing.some((one) => one.more)
    ? '; then call verify again, because not all of them are listed'
    : '';
  return `Different: ${differingText(report)} (compared ${extent}).${left} repair copies these rows again${more}.`;
}

function notCompared({ notCompared: names }: VerificationReport): string {
  return names.length === 0 ? '' : ` Not compared: ${listed(names, SHOWN, '; ')}.`;
}

/** `4 rows of public.orders (3), public.items (1)`. */
function differingText({ differing }: VerificationReport): string {
  const rows = differing.reduce((sum, { keys }) => sum + keys, 0);
  const names = differing.map(({ table, keys }) => `${table} (${count(keys)})`);
  return `${counted(rows, 'row')} ${rows === 1 ? 'differs' : 'differ'} in ${listed(names, SHOWN)}`;
}

/** `12 of 40 tables (30 %), 3,000,000 rows read`. */
export function runningText({ counters, rows, repairs }: RunningVerification): string {
  if (repairs !== null) return 'differing rows are being repaired';
  if (counters === null) return 'waiting for a state that both sides show';
  const { tables, tablesDone, pieces, done } = counters;
  return `${count(tablesDone)} of ${counted(tables, 'table')} compared (${percent(done, pieces)}), ${counted(rows, 'row')} read`;
}

const WHY: Partial<Record<At, string>> = {
  paused: 'the migration was paused',
  cuttingOver: 'a cutover began',
  streamWaiting: 'the migration waits for the operator',
};

/** The answer to those who wait for a verification when the stream stops. @param running null: it does not continue. */
export function interruptedText(at: At, running: RunningVerification | null): string {
  if (running === null) {
    return at === 'copying'
      ? 'the verification ended without a result: tables are being resynced'
      : 'the verification ended without a result, with the migration';
  }
  return `the verification was interrupted because ${WHY[at] ?? 'the stream stopped'}: ${runningText(running)}. It continues when the migration streams again; verify then waits for its result`;
}

/** The answer to those who wait when the workflow has to continue as new, which open updates would prevent. */
export function stillRunningText(running: RunningVerification | null): string {
  if (running === null) return 'The verification has ended: see the query progress.';
  return `Still running: ${runningText(running)}. It goes on; call verify again to wait for its result, or see the query progress.`;
}

/** What runs, and the newest result: no line before the first verification. */
export function verificationLines(state: VerificationState): string[] {
  const { running, last } = state;
  return [
    ...(running ? [`verification since ${moment(running.since)}: ${runningText(running)}`] : []),
    ...(last ? [resultLine(state, last.report, last.at)] : []),
  ];
}

function resultLine(state: VerificationState, report: VerificationReport, at: string): string {
  const standing = standingOf(state);
  const result =
    standing === 'outdated' ? `${report.result}, before tables were resynced` : standing;
  return `last verification ${result}: ${counted(report.tables, 'table')}, ${counted(report.rows, 'row')} at ${report.lsn}, ${moment(at)}`;
}

/** Problems: differing rows, what was not compared, why it does not proceed. */
export function verificationNotes(state: VerificationState): string[] {
  const { running, last, failed } = state;
  const differing = differingReport(state);
  return [
    ...(differing ? [`${differingText(differing)}: repair copies these rows again`] : []),
    ...(standingOf(state) === 'incomplete' && last
      ? [`not everything was compared: ${listed(last.report.notCompared, SHOWN, '; ')}`]
      : []),
    ...(running?.failing
      ? [
          `the verification has not proceeded since ${moment(running.failing.since)} and keeps retrying: ${running.failing.reason} (\`${running.failing.code}\`)`,
        ]
      : []),
    ...(failed
      ? [
          `the last verification or repair ended without a result: ${failed.reason} (\`${failed.code}\`)`,
        ]
      : []),
  ];
}
