/** The last words of a cutover: what is where, and what is not. */
import { listed } from '../contract/listed.ts';
import type { Lsn } from '../contract/lsn.ts';
import type { MigrationSummary, SequenceReport } from '../contract/work.ts';
import type { Execution } from './execution.ts';
import { leftOutNames, leftOutSentences, skippedSentence } from './left-out.ts';
import { count, counted, duration } from './wording.ts';

const MS_PER_SECOND = 1000;
const SHOWN_TABLES = 20;
const SHOWN_DIFFERENCES = 5;

export interface Counts {
  readonly tables: number;
  /** Null: not counted. */
  readonly rows: number | null;
  /** Beyond counting, as words; unset: only counted. */
  readonly compared?: string;
}

/** Of a cutover with a fence. */
export interface Downtime {
  /** Null when it was not measured: the answer of the attempt that switched was lost with the target's record. */
  readonly seconds: number | null;
  /** What the operator runs to open the source again. */
  readonly open: string | null;
}

/** The result of a migration whose cutover is complete. @param downtime how long a fence stopped the writes. */
export function summarize(
  run: Execution,
  endMark: Lsn,
  { sequences, missing, unnamed = 0, differences = [] }: SequenceReport,
  counts: Counts,
  downtime?: Downtime,
): MigrationSummary {
  const { migration, state } = run;
  const { source, target } = migration;
  const { skippedViews: skipped } = state;
  const began = Date.parse(state.startedAt.preflight ?? state.asOf);
  const seconds = Math.round((Date.now() - began) / MS_PER_SECOND);
  return {
    summary: `${stopped(downtime)}"${target}" is ready: everything committed on "${source}" before ${endMark} is there (${comparedText(counts)}, ${counted(sequences, 'sequence')} set), ${duration(seconds)} after the start.${absent(missing, unnamed)}${unlike(differences)}${[
      ...leftOutSentences(state.leftOut ?? undefined),
      ...skippedSentence(skipped),
    ]
      .map((sentence) => ` ${sentence}`)
      .join('')} Point the application to it.${sealed(source, downtime)}`,
    source,
    target,
    confirmedLsn: state.confirmedLsn ?? endMark,
    tables: counts.tables,
    rows: counts.rows,
    copiedRows: state.snapshot?.rows ?? 0,
    copiedBytes: state.snapshot?.bytes ?? 0,
    sequences,
    transactions: state.stream?.transactions ?? 0,
    changes: state.stream?.changes ?? 0,
    seconds,
    ...(downtime === undefined ? {} : { downtimeSeconds: downtime.seconds }),
    ...leftOutNames(state.leftOut ?? undefined),
    ...(skipped.length === 0 ? {} : { skippedViews: skipped }),
    ...(differences.length === 0 ? {} : { differences }),
  };
}

/** `5 tables, 101 rows on both sides`: what was found equal, or that nothing was compared. */
export function comparedText({ tables, rows, compared }: Counts): string {
  const equal =
    rows === null
      ? 'row counts and values of generated columns not compared'
      : `${count(rows)} rows on both sides${compared === undefined ? '' : `, ${compared}`}`;
  return `${counted(tables, 'table')}, ${equal}`;
}

function absent(missing: readonly string[], unnamed: number): string {
  if (missing.length === 0) return '';
  const names = listed(missing, SHOWN_TABLES, ', ', missing.length + unnamed);
  return ` The target has no sequence ${names}.`;
}

/** DDL since the schema copy that changes no row. */
function unlike(differences: readonly string[]): string {
  if (differences.length === 0) return '';
  return ` Not as on the source: ${listed(differences, SHOWN_DIFFERENCES)}.`;
}

/** The measured downtime is the first number of the answer. */
function stopped(downtime: Downtime | undefined): string {
  if (downtime === undefined || downtime.seconds === null) return '';
  return `writes were stopped for ${duration(downtime.seconds)}. `;
}

/** The old database must not take writes by accident, and whoever wants it to has to say so. */
function sealed(source: string, downtime: Downtime | undefined): string {
  if (downtime === undefined) return '';
  if (downtime.open === null) return ` "${source}" stays closed for writes as its fence left it.`;
  return ` "${source}" stays sealed and refuses writes with 25006; to open it: ${downtime.open}.`;
}
