/** The report as sections of text, lists and tables, for every format alike. Plain text: whoever writes a format escapes it. */
import { windowText } from '../../contract/window.ts';
import { bytes, count, counted, duration, moment } from '../../workflows/wording.ts';
import type { CutoverRecord, LagSample } from '../../contract/record.ts';
import type { Report } from './report-model.ts';

export type Block =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | {
      readonly kind: 'table';
      readonly head: readonly string[];
      readonly rows: readonly (readonly string[])[];
    }
  | { readonly kind: 'lag'; readonly samples: readonly LagSample[] };

export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export const TITLE = (report: Report): string =>
  `Migration ${report.workflowId}: ${report.source} to ${report.target}`;

export function sectionsOf(report: Report): Section[] {
  return [
    { title: 'Result', blocks: resultBlocks(report) },
    section('What moved', movedBlocks(report)),
    section('Phases', phaseBlocks(report)),
    { title: 'Write downtime and cutovers', blocks: cutoverBlocks(report) },
    section('Lag', report.lag.length === 0 ? [] : [{ kind: 'lag', samples: report.lag }]),
    { title: 'Faults survived', blocks: faultBlocks(report) },
    section('Waits for the operator', stopBlocks(report)),
    section('Verifications', verificationBlocks(report)),
    section('Approval and window', approvalBlocks(report)),
    section('Accepted', list(report.accepted)),
    section('Requests of the operator', requestBlocks(report)),
    section('Changed and restored', changeBlocks(report)),
    section('Not moved', list(report.leftOut)),
    { title: 'Left behind', blocks: leftBlocks(report) },
  ].filter(({ blocks }) => blocks.length > 0);
}

const section = (title: string, blocks: readonly Block[]): Section => ({ title, blocks });
const text = (words: string): Block => ({ kind: 'text', text: words });
const list = (items: readonly string[]): Block[] =>
  items.length === 0 ? [] : [{ kind: 'list', items }];
/** Steps of a cutover often take milliseconds, and all of them count. */
const took = (seconds: number): string =>
  seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds);
const when = (iso: string | null | undefined): string => (iso == null ? '' : moment(iso));

function resultBlocks(report: Report): Block[] {
  const { status, summary, began, ended, seconds, histories, runId } = report;
  const { read, complete } = histories;
  const end =
    ended === null
      ? `still runs, for ${duration(seconds)}`
      : `ended ${when(ended)}, after ${duration(seconds)}`;
  return [
    text(summary),
    {
      kind: 'list',
      items: [
        `Status: ${status}`,
        `Began ${when(began)}; ${end}`,
        `Identity (first run): ${runId}`,
        complete
          ? `From the history of ${counted(read, 'run')} of the workflow`
          : `From the history of ${counted(read, 'run')} of the workflow; the Temporal server has removed earlier ones, so that faults and requests before ${when(report.phases[0]?.from ?? began)} may be missing`,
      ],
    },
  ];
}

function movedBlocks({ moved }: Report): Block[] {
  if (!moved) return [];
  const { tables, copiedRows, copiedBytes, transactions, changes, rows, sequences } = moved;
  return list([
    `Copied: ${counted(copiedRows, 'row')}, ${bytes(copiedBytes)}, ${counted(tables, 'table')}`,
    `Streamed: ${counted(transactions, 'transaction')}, ${counted(changes, 'change')}`,
    ...(rows === null ? [] : [`Counted at the cutover: ${count(rows)} rows on both sides`]),
    ...(sequences === null ? [] : [`Sequences set: ${count(sequences)}`]),
  ]);
}

function phaseBlocks({ phases }: Report): Block[] {
  if (phases.length === 0) return [];
  const rows = phases.map(({ phase, from, to, seconds }) => [
    ...[phase, when(from), when(to), took(seconds)],
  ]);
  return [{ kind: 'table', head: ['phase', 'began', 'next phase', 'time'], rows }];
}

function cutoverBlocks({ cutovers, downtimeSeconds }: Report): Block[] {
  if (cutovers.length === 0) return [text('No cutover has begun.')];
  return [
    ...downtimeBlocks(cutovers, downtimeSeconds),
    ...cutovers.flatMap((cutover, index): Block[] => {
      const { at, steps, end, seconds } = cutover;
      const why = end?.reason === undefined ? '' : `: ${end.reason}`;
      const code = end?.code === undefined ? '' : ` (${end.code})`;
      // Readiness is judged before anything is changed: there is nothing to undo.
      const what = end?.code === 'NotReady' ? 'refused' : end?.how;
      const how = end ? `${what} after ${took(seconds ?? 0)}${why}${code}` : 'under way';
      // Nothing of the time may be missing: before the first step the stream stops.
      const all = steps.length === 0 ? [] : [{ step: 'stop the stream', at }, ...steps];
      const rows = all.map(({ step, at: from }, place) => {
        const until = all[place + 1]?.at ?? end?.at;
        const time = until === undefined ? '' : took((Date.parse(until) - Date.parse(from)) / 1000);
        return [step, when(from), time];
      });
      return [
        text(`${nameOf(cutover, index)}, ${when(at)}: ${how}.${stoppedText(cutover)}`),
        ...(rows.length === 0
          ? []
          : [{ kind: 'table', head: ['step', 'began', 'time'], rows } as const]),
      ];
    }),
  ];
}

/** One after the other, as they are numbered. */
const nameOf = ({ kind }: CutoverRecord, index: number): string =>
  `${kind === undefined ? 'Cutover' : kind === 'rehearsal' ? 'Rehearsal' : 'Switch back'} ${index + 1}`;

/** What one cost the application. */
function stoppedText({ endedSessions: ended = 0, ...cutover }: CutoverRecord): string {
  return `${stoppedFor(cutover)}${ended === 0 ? '' : ` Sessions that wrote too long were ended: ${count(ended)}.`}`;
}

function stoppedFor(cutover: CutoverRecord): string {
  const { kind, stoppedAt, stoppedSeconds, end } = cutover;
  // Without a fence the operator stopped the writers, for an unknown time.
  if (stoppedAt === undefined)
    return end?.how === 'done' && kind !== 'rehearsal' ? '' : ' walferry stopped no write.';
  if (stoppedSeconds === undefined) return ` Writes are stopped since ${when(stoppedAt)}.`;
  if (stoppedSeconds === null) return ' Writes were stopped; for how long is not known.';
  const atMost = isMeasured(cutover) ? '' : ' at most';
  return ` Writes were stopped for ${took(stoppedSeconds)}${atMost}.`;
}

/** By the databases, which they do when they switch; otherwise the workflow's clock says how long it was at most. */
const isMeasured = ({ kind, end }: CutoverRecord): boolean =>
  kind !== 'rehearsal' && end?.how === 'done';

/** Every second in which applications were refused, rehearsals and undone cutovers included. */
function downtimeBlocks(cutovers: readonly CutoverRecord[], measured: number | undefined): Block[] {
  const stopped = cutovers.filter(({ stoppedSeconds: one }) => one != null);
  if (stopped.length > 0) {
    const total = stopped.reduce((sum, { stoppedSeconds: one }) => sum + (one ?? 0), 0);
    const count = stopped.length === 1 ? 'once' : `${stopped.length} times`;
    const atMost = stopped.every(isMeasured) ? '' : 'at most ';
    return [text(`walferry stopped the writes ${count}, for ${atMost}${took(total)} in total.`)];
  }
  if (measured !== undefined) {
    return [text(`Write downtime, as the cutover measured it: ${took(measured)}.`)];
  }
  if (!cutovers.some(({ kind, end }) => kind === undefined && end?.how === 'done')) return [];
  return [
    text(
      'The write downtime was not measured by the cutover: it is at least the time of the cutover that was completed, and begins when the writers were stopped.',
    ),
  ];
}

function faultBlocks({ faults, resyncs }: Report): Block[] {
  const { retries, lost, workers, more } = faults;
  const rows = faults.list.map(({ at, step, what, attempts, reason }) => [
    ...[when(at), step, what, String(attempts), reason],
  ]);
  return [
    text(
      `Retries of steps: ${count(retries)}. Attempts that lost their worker (killed, frozen or cut off): ${count(lost)}. Workers that took part: ${count(workers)}. Resyncs: ${count(resyncs)}.`,
    ),
    ...(rows.length === 0
      ? []
      : [
          {
            kind: 'table',
            head: ['when', 'step', 'what', 'attempts', 'last reason'],
            rows,
          } as const,
        ]),
    ...(more > 0 ? [text(`And ${count(more)} more.`)] : []),
  ];
}

function stopBlocks({ stops }: Report): Block[] {
  if (stops.length === 0) return [];
  const rows = stops.map(({ at, step, code, until }) => [when(at), step, code, when(until)]);
  return [{ kind: 'table', head: ['from', 'step', 'code', 'until'], rows }];
}

function verificationBlocks({ verifications }: Report): Block[] {
  if (verifications.length === 0) return [];
  const number = (value: number | undefined) => (value === undefined ? '' : count(value));
  const rows = verifications.map((one) => [
    ...[when(one.at), one.result, number(one.tables), number(one.rows)],
    one.bytes === undefined ? '' : bytes(one.bytes),
    one.seconds === undefined ? '' : duration(one.seconds),
    one.lsn ?? '',
    (one.differing ?? []).map(({ table, keys }) => `${table}: ${count(keys)}`).join(', '),
    (one.notCompared ?? []).join('; '),
  ]);
  const measures = ['ended', 'result', 'tables', 'rows', 'bytes', 'time'];
  const head = [...measures, 'state (LSN)', 'differing keys', 'not compared'];
  return [{ kind: 'table', head, rows }];
}

function approvalBlocks({ approvals, window }: Report): Block[] {
  const rows = approvals.map(({ at, name, note, window: approved }) => [
    ...[when(at), name, note, approved ? windowText(approved) : 'none'],
  ]);
  return [
    ...(window ? [text(`Window of the cutover: ${windowText(window)}.`)] : []),
    ...(rows.length === 0
      ? []
      : [{ kind: 'table', head: ['when', 'approved by', 'note', 'window'], rows } as const]),
  ];
}

function requestBlocks({ requests }: Report): Block[] {
  if (requests.length === 0) return [];
  const rows = requests.map(({ at, name, answer }) => [when(at), name, answer ?? 'not answered']);
  return [{ kind: 'table', head: ['when', 'update', 'answer'], rows }];
}

function changeBlocks({ changes }: Report): Block[] {
  if (changes.length === 0) return [];
  const rows = changes.map(({ what, made, undone }) => [what, when(made), when(undone) || 'no']);
  // Only what is still changed: the rest needs no one.
  const undoing = changes.flatMap(({ what, undone, undo }) =>
    undone === null && undo !== undefined ? [`${what}: ${undo}`] : [],
  );
  return [
    { kind: 'table', head: ['what', 'made', 'removed or restored'], rows },
    ...(undoing.length === 0
      ? []
      : [text('SQL that restores what is still changed:'), ...list(undoing)]),
  ];
}

function leftBlocks({ leftBehind, status }: Report): Block[] {
  if (leftBehind !== null && leftBehind.length > 0) return list(leftBehind);
  if (leftBehind !== null) return [text('Nothing.')];
  return [
    text(
      status === 'running'
        ? 'Not known before the end.'
        : 'Not recorded: the result above and walferry cleanup say what is left.',
    ),
  ];
}
