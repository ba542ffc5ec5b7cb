/** A view as text: a block for a terminal, one line for a pipe. Pure. */
import { builtText } from '../../workflows/built.ts';
import { downtimeText, walText } from '../../workflows/readiness-text.ts';
import { bytes, count, counted, duration } from '../../workflows/wording.ts';
import type { Readiness } from '../../contract/readiness.ts';
import { definitionLines } from '../../workflows/definition-text.ts';
import type { CopyView, View } from './model.ts';
import { isOpen } from './sample.ts';

const BAR_WIDTH = 30;

/** Lines of the block, none longer than `columns`: the next update would leave a wrapped line behind. */
export function renderBlock(workflowId: string, view: View, columns: number): string[] {
  const built = view.indexes ? builtText(view.indexes) : '';
  const stream = streamText(view);
  const lines = [
    `${workflowId}: ${headline(view)}`,
    ...(view.copy ? copyLines(view.copy) : []),
    ...(built === '' ? [] : [`  ${built}`]),
    ...(stream === undefined ? [] : [`  stream ${stream}`]),
    ...(view.throttle === undefined ? [] : [`  ${view.throttle}`]),
    ...(view.readiness === undefined
      ? []
      : readinessLines(view.readiness).map((line) => `  ${line}`)),
    ...(view.confirmedLsn === undefined ? [] : [`  confirmed ${view.confirmedLsn}`]),
    ...(view.verification ?? []).map((line) => `  ${line}`),
    ...definitionLines(workflowId, view).map((line) => `  ${line}`),
    ...(view.waiting
      ? [
          `  waits at ${view.waiting.step}: ${view.waiting.reason} (${view.waiting.code})`,
          `  what to do: ${view.waiting.action}`,
        ]
      : []),
    ...view.troubles.map((trouble) => `  ${trouble}`),
  ];
  return lines.map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line));
}

/** What stands in the way of a cutover, by code: the texts are in Current Details. */
function readinessLines(readiness: Readiness): string[] {
  const { ready, findings, accepted = [] } = readiness;
  const codes = findings.map(({ code, level }) => {
    if (accepted.includes(code)) return `${code} (accepted)`;
    return level === 'blocks' ? `${code} (blocks)` : code;
  });
  const found = codes.length === 0 ? '' : `: ${codes.join(', ')}`;
  const wal = walText(readiness);
  return [
    `cutover ${ready ? 'ready' : 'not ready'}${found}`,
    downtimeText(readiness),
    ...(wal === '' ? [] : [wal]),
  ];
}

/** Everything that matters on one line. */
export function renderLine(view: View): string {
  const { phase, copy, waiting } = view;
  const stream = streamText(view);
  const parts = [headline(view)];
  if (copy && phase === 'snapshot') {
    parts.push(
      `${percent(copy)} ${copyText(copy)}`,
      `chunks ${copy.chunksDone}/${copy.chunksTotal}`,
      speedText(copy),
    );
  } else if (stream !== undefined) {
    parts.push(stream, `confirmed ${view.confirmedLsn ?? 'nothing yet'}`);
  }
  if (view.throttle !== undefined) parts.push(view.throttle);
  if (waiting) {
    parts.push(`waits at ${waiting.step}: ${waiting.reason} (${waiting.code}); ${waiting.action}`);
  }
  return [...parts, ...(view.verification ?? []), ...view.troubles].join(', ');
}

/** A change of it is printed at once. */
export function headline({ phase, state, status, source, target, step, waiting }: View): string {
  if (phase === undefined) {
    if (isOpen(status)) return 'no answer yet (is a worker running?)';
    return `${status.toLowerCase().replaceAll('_', ' ')} before it began`;
  }
  const over = phase === 'done' || phase === 'failed' || phase === 'aborted';
  const halted = status === 'PAUSED' ? ' (paused in Temporal)' : undefined;
  const situation =
    halted ??
    (status === 'RUNNING' && !over && state !== undefined && state !== 'running'
      ? ` (${state})`
      : '');
  const doing = step === undefined || waiting || over ? '' : `, ${step}`;
  return `${phase}${situation} ${source} → ${target}${NUMBERED.has(phase) ? '' : doing}`;
}

/** Phases whose own numbers say what is being done. */
const NUMBERED = new Set(['snapshot', 'stream']);

function copyLines(copy: CopyView): string[] {
  const full = Math.round(copy.fraction * BAR_WIDTH);
  const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full);
  return [
    `  ${bar} ${percent(copy)}`,
    `  copied ${copyText(copy)}, chunks ${count(copy.chunksDone)} of ${count(copy.chunksTotal)}`,
    ...(copy.fraction < 1 ? [`  ${speedText(copy)}`] : []),
  ];
}

function percent({ fraction }: CopyView): string {
  return `${Math.floor(fraction * 100)} %`;
}

function copyText(copy: CopyView): string {
  return `${counted(copy.rows, 'row')}, ${bytes(copy.bytes)}`;
}

function speedText({ rowsPerSecond, bytesPerSecond, etaSeconds }: CopyView): string {
  const eta = etaSeconds === undefined ? 'unknown' : duration(Math.round(etaSeconds));
  return `${count(rowsPerSecond)} rows/s, ${bytes(bytesPerSecond)}/s, ETA ${eta}`;
}

/**
 * Nothing is known of an attempt before its first heartbeat, nor of one that died after a heartbeat of zeros: the text
 * says so instead of zeros.
 */
function streamText({ stream, phase, state, status }: View): string | undefined {
  if (!stream) {
    const awaited = phase === 'stream' && state === 'running' && status === 'RUNNING';
    return awaited ? 'waiting for a heartbeat' : undefined;
  }
  const text =
    `${counted(stream.transactions, 'transaction')}, ${counted(stream.changes, 'change')}, ` +
    `${count(stream.changesPerSecond)} changes/s, lag ${bytes(stream.lagBytes)} / ${duration(stream.lagSeconds)}`;
  return stream.age === undefined ? text : `${text} (${stream.age})`;
}
