/** The closing table: what each phase took, which kills were survived, and the result. */
import Table from 'cli-table3';
import type { Phase, Progress } from '../../../contract/progress.ts';
import { PHASES } from '../../../contract/progress.ts';
import type { MigrationSummary } from '../../../contract/work.ts';
import { bytes, count, duration } from '../../../workflows/wording.ts';
import type { Switch } from './switches.ts';

/** Without lines between the rows: it has to fit on a screen. */
const COMPACT = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };

export interface Closing {
  readonly startedAt: Progress['startedAt'];
  readonly endedAt: Date;
  readonly summary: MigrationSummary;
  readonly kills: readonly string[];
  readonly verified: boolean;
  readonly cutover: Switch;
  readonly switchback: Switch;
  readonly compared: { readonly equal: boolean; readonly seconds: number; readonly rows: number };
  readonly ledger: { readonly holds: boolean; readonly transactions: number };
}

/** One line per phase: name, seconds, rows, bytes, rate. Pure. */
function phaseRows(closing: Closing): string[][] {
  const { startedAt, endedAt, summary, compared } = closing;
  const begun = PHASES.flatMap((phase) => {
    const at = startedAt[phase];
    return at === undefined ? [] : [{ phase, at: Date.parse(at) }];
  }).filter(({ phase }) => phase !== 'done');
  const rows = begun.map(({ phase, at }, index) => {
    const seconds = Math.max(0, ((begun[index + 1]?.at ?? endedAt.getTime()) - at) / 1000);
    return [phase, duration(seconds), ...work(phase, seconds, summary)];
  });
  const rate = compared.seconds > 0 ? `${count(compared.rows / compared.seconds)} rows/s` : '';
  rows.push(['compare', duration(compared.seconds), count(compared.rows), '', rate]);
  return rows;
}

function work(phase: Phase, seconds: number, summary: MigrationSummary): string[] {
  const perSecond = (value: number) => (seconds > 0 ? count(value / seconds) : '');
  if (phase === 'snapshot') {
    const { copiedRows, copiedBytes } = summary;
    return [count(copiedRows), bytes(copiedBytes), `${perSecond(copiedRows)} rows/s`];
  }
  if (phase === 'stream') {
    return [count(summary.changes), '', `${perSecond(summary.changes)} changes/s`];
  }
  return ['', '', ''];
}

/** The table as text. */
export function renderClosing(closing: Closing): string {
  const phases = new Table({
    chars: COMPACT,
    head: ['phase', 'duration', 'rows', 'bytes', 'rate'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  phases.push(...phaseRows(closing));
  const { kills, compared, ledger, cutover, switchback } = closing;
  const comparison = new Table({ chars: COMPACT, style: { head: [], border: [] } });
  comparison.push(
    ['kills survived', `${kills.length}${kills.length > 0 ? ` (${kills.join(', ')})` : ''}`],
    ['every row compared under load', closing.verified ? 'equal' : 'NOT EQUAL'],
    ['cutover', `writes stopped for ${cutover.downtime ?? 'AN UNKNOWN TIME'}`],
    ['the application', cutover.application],
    ['switchback', `writes stopped for ${switchback.downtime ?? 'AN UNKNOWN TIME'}`],
    ['ledger', ledger.holds ? `holds, ${count(ledger.transactions)} commits` : 'DOES NOT HOLD'],
    ['equal', compared.equal ? 'yes' : 'NO'],
  );
  return `${phases.toString()}\n${comparison.toString()}`;
}
