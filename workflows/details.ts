/**
 * Current Details of the Web UI: phase, numbers, problems, and the next commands to type. Headings, bullets and code
 * only: this UI shows no Markdown tables, and cuts code lines at about 63 characters. Pure.
 */
import { downtimeText, walText } from './readiness-text.ts';
import { moment, bytes, count, counted, duration, limitsText, percent } from './wording.ts';
import { requestText } from '../contract/cutover-request.ts';
import { FAILURES } from '../contract/failure-catalogue.ts';
import { countUnready, TABLE_STATES } from '../contract/table-state.ts';
import type { Phase, Progress } from '../contract/progress.ts';
import { windowText } from '../contract/window.ts';
import type { UpdateName } from './state/policy.ts';
import { STAGES, type At } from './state/stage.ts';
import { boxLines, boxTitle } from './box-text.ts';
import { builtText } from './built.ts';
import { wordFindings } from '../contract/readiness.ts';
import { guardText } from '../contract/guard.ts';
import { shellWord } from '../contract/shell-command.ts';
import { differingReport } from '../contract/verification-state.ts';
import { definitionLines } from './definition-text.ts';
import { verificationLines } from './verification-text.ts';

const CODE_LINE = 63;

const TITLES: Readonly<Record<Phase, string>> = {
  preflight: 'Preflight: checking both databases',
  schema: 'Schema: creating tables and the slot',
  snapshot: 'Snapshot: copying rows',
  indexes: 'Indexes: building indexes and constraints',
  stream: 'Stream: applying changes as they commit',
  cutover: 'Cutover: draining, setting sequences, checking',
  reverse: 'Way back: changes of the new database go to the old one',
  done: 'Done',
  failed: 'Failed',
  aborted: 'Aborted',
};

/** Ends, as stages and as phases. */
const END: ReadonlySet<At | Phase> = new Set(['done', 'failed', 'aborted'] as const);

/** The text for one moment. Built from its arguments only, so that a replay builds the same text. */
export function renderDetails(workflowId: string, progress: Progress, at: At): string {
  const { source, target, waiting, placeWait, notes = [] } = progress;
  return [
    `## ${title(progress, at)}`,
    '',
    progress.phase === 'reverse'
      ? `- from **${target}** back to **${source}**`
      : `- from **${source}** to **${target}**`,
    ...(waiting
      ? [
          `- step **${waiting.step}** stopped: ${waiting.reason} (\`${waiting.code}\`)`,
          `- **what to do:** ${waiting.action}`,
        ]
      : []),
    ...(placeWait
      ? [
          `- waiting for a free worker place since ${moment(placeWait.since)}: ${placeWait.reason}`,
          `- **what to do:** ${FAILURES.WorkerFull.action}`,
        ]
      : []),
    ...cutoverStep(progress),
    ...request(progress),
    ...throttling(progress),
    ...numbers(progress),
    ...(isSwitching(progress)
      ? []
      : [
          ...(progress.verification ? verificationLines(progress.verification) : []),
          ...definitionLines(workflowId, progress),
        ]
    ).map((line) => `- ${line}`),
    ...readinessLines(progress),
    ...tables(progress),
    ...(notes.length > 0 ? ['', '### Notes', '', ...notes.map((note) => `- ${note}`)] : []),
    ...commands(workflowId, at, progress),
  ].join('\n');
}

/** Writes are stopped, or the application is on the target: what led to that is of no interest, and hides what is. */
const isSwitching = ({ box, phase }: Progress): boolean => box !== undefined || phase === 'reverse';

function title(progress: Progress, at: At): string {
  const { guard, phase, box } = progress;
  const { state, ending } = STAGES[at];
  if (box) return boxTitle(progress, box);
  if (state === 'waiting') return 'Waiting for the operator';
  if (state === 'paused') return 'Paused';
  if (ending && !END.has(at)) return `${TITLES[phase]} (cleaning up)`;
  return `${TITLES[phase]}${guard?.holding === true ? ' (held by the guard)' : ''}`;
}

/** The step of the cutover. A slow step and one that cannot proceed must not look alike. */
function cutoverStep(progress: Progress): string[] {
  const { cutover, box } = progress;
  if (!cutover) return [];
  const { step, since, failing } = cutover;
  const began = `- step **${step}** since ${moment(since)}`;
  const stopped = box ? boxLines(progress, box) : [];
  if (!failing) return [...stopped, began];
  return [
    ...stopped,
    `${began}, failing since ${moment(failing.since)} (last seen ${moment(failing.seen)}): ${failing.reason} (\`${failing.code}\`)`,
    `- **what to do:** ${failing.action}`,
  ];
}

/** A cutover that waits, and what one would have to wait for. */
function request(progress: Progress): string[] {
  const { request: asked, window, approval, approvals = [] } = progress;
  if (isSwitching(progress)) return [];
  const newest = approvals.at(-1);
  return [
    ...(asked ? [`- **cutover asked for** at ${moment(asked.at)}: ${requestText(asked)}`] : []),
    ...(window && !asked ? [`- cutover window: ${windowText(window)}`] : []),
    ...(approval === 'missing' && !asked ? ['- the cutover needs approval'] : []),
    ...(newest && approval === 'given'
      ? [`- cutover approved by ${newest.name} at ${moment(newest.at)}`]
      : []),
  ];
}

/** What slows the migration down. */
function throttling({ limits, guard }: Progress): string[] {
  const limited = limits === undefined ? 'none' : limitsText(limits);
  return [
    ...(limited === 'none' ? [] : [`- limits: ${limited}`]),
    ...(guard == null
      ? []
      : [
          `- guard: ${guardText(guard)}${guard.holding ? ': **the copy has been waiting**' : ','} since ${moment(guard.since)}${guard.holding ? ' and continues automatically' : ''}`,
        ]),
  ];
}

function numbers(progress: Progress): string[] {
  const { phase, state, snapshot, indexes, stream, confirmedLsn, slot, asOf } = progress;
  const lines: string[] = [];
  if (snapshot && !isSwitching(progress)) {
    const { chunksDone, chunksTotal, rows, pass } = snapshot;
    lines.push(
      `- copied ${count(chunksDone)} of ${counted(chunksTotal, 'chunk')} (${percent(chunksDone, chunksTotal)}): ${counted(rows, 'row')}, ${bytes(snapshot.bytes)}, ${counted(snapshot.tables, 'table')}`,
    );
    if (pass > 1) lines.push(`- pass ${pass}`);
  }
  const building = phase === 'indexes' || indexes?.indexesBuilt != null;
  if (indexes && building && !isSwitching(progress)) {
    const built = builtText(indexes);
    if (built !== '') lines.push(`- ${built}`);
  }
  if (confirmedLsn !== null) {
    const side = phase === 'reverse' ? 'old database' : 'target';
    lines.push(`- confirmed \`${confirmedLsn}\`: everything committed before it is on the ${side}`);
  }
  if (stream) {
    lines.push(
      `- applied ${counted(stream.transactions, 'transaction')}, ${counted(stream.changes, 'change')}; ${count(stream.rate)} changes/s`,
      `- lag ${bytes(stream.lagBytes)}, ${duration(stream.lagSeconds)}; ${counted(stream.leases, 'lease')}`,
    );
  }
  if (phase !== 'preflight') lines.push(`- slot \`${slot}\``);
  if (asOf !== undefined) {
    const isCurrent = END.has(phase) || state !== 'running';
    const live = isCurrent ? '' : '; live numbers are under Pending Activities';
    lines.push(`- as of ${moment(asOf)}${live}`);
  }
  return lines;
}

/** Whether a cutover could begin now, while that is a question. */
function readinessLines({ phase, readiness }: Progress): string[] {
  if (readiness === undefined || phase !== 'stream') return [];
  const { ready, fence } = readiness;
  const wal = walText(readiness);
  return [
    `- cutover: **${ready ? 'ready' : 'not ready'}**, ${downtimeText(readiness)}`,
    `- writes will be stopped by ${fence === undefined ? 'you' : `the fence "${fence}"`}${wal === '' ? '' : `; ${wal}`}`,
    ...wordFindings(readiness).map((line) => `  - ${line}`),
  ];
}

/** How many tables are in which state, and which are not ready. At an end the control schema may be gone: no state is current. */
function tables({ phase, tables: counts, unready = [] }: Progress): string[] {
  if (counts === undefined || END.has(phase)) return [];
  const states = TABLE_STATES.flatMap((state) => {
    const number = counts[state] ?? 0;
    return number === 0 ? [] : [`${count(number)} ${state}`];
  });
  const named = unready.map(
    ({ table, state, reason }) =>
      `- \`${table}\` ${state}${reason === undefined ? '' : `: ${reason}`}`,
  );
  const more = countUnready(counts) - unready.length;
  return [
    `- tables: ${states.join(', ')}`,
    ...(named.length > 0 ? ['', '### Tables that are not ready', '', ...named] : []),
    ...(more > 0 ? [`- and ${count(more)} more`] : []),
  ];
}

/** The updates that are useful in a stage; one that would change nothing is not shown. */
const NEXT: Readonly<Record<At, readonly UpdateName[]>> = {
  ...{ preflight: ['abort'], schema: ['abort'], copying: ['abort'], indexing: ['abort'] },
  ...{ copyWaiting: ['resume', 'abort'], indexWaiting: ['resume', 'abort'] },
  streaming: ['pause', 'verify', 'cutover', 'abort'],
  paused: ['resume', 'cutover', 'abort'],
  streamWaiting: ['resume', 'abort'],
  cuttingOver: ['pause', 'abort'],
  fenced: ['pause', 'abort'],
  ...{ released: [], finalizing: [] },
  ...{ releasing: [], completing: [], aborting: [], failing: [] },
  ...{ done: [], aborted: [], failed: [] },
};

const WHAT_IT_DOES: Readonly<Record<UpdateName, string>> = {
  pause: 'stop at a commit; the slot retains the WAL',
  resume: 'continue, or retry the step that stopped',
  cutover: 'finish; without a fence, stop the writers first',
  rehearse: 'how long the cutover would stop the writes',
  abort: 'end it; what was copied stays, complete or not',
  approve: 'let the cutover begin',
  'await-cutover': 'wait for its end',
  setLimits: 'change limits',
  verify: 'compare every row, while it streams',
  repair: 'copy the rows again that differ, and compare them',
  switchback: 'return to the old database',
  finalize: 'end the way back; the old database stays as it is',
};

/** What an update needs. */
const INPUTS: Partial<Record<UpdateName, string>> = {
  approve: `--input '{"name": "YOUR NAME", "note": ""}'`,
};

/** On the way back. */
const NEXT_BACK: Partial<Record<At, readonly UpdateName[]>> = {
  streaming: ['switchback', 'finalize', 'pause'],
  paused: ['resume', 'switchback', 'finalize'],
  streamWaiting: ['resume', 'finalize'],
  ...{ cuttingOver: ['pause'], fenced: ['pause'] },
};

const cancelText = ({ phase }: Progress): string =>
  `cancel the ${phase === 'reverse' ? 'switch back' : 'cutover'}; the stream stays paused until resume`;

/** Rows that are known to differ are to be repaired before they are compared again. */
function nextOf({ phase, verification }: Progress, at: At): readonly UpdateName[] {
  if (phase === 'reverse') return NEXT_BACK[at] ?? NEXT[at];
  if (!verification || !differingReport(verification)) return NEXT[at];
  return NEXT[at].map((name) => (name === 'verify' ? 'repair' : name));
}

function commands(workflowId: string, at: At, progress: Progress): string[] {
  const { request: asked, approval } = progress;
  const streams = progress.phase === 'stream' && (at === 'streaming' || at === 'paused');
  const updates: readonly UpdateName[] = [
    ...(streams && approval === 'missing' ? (['approve'] as const) : []),
    ...(asked ? (['await-cutover'] as const) : []),
    // Asked for once is enough.
    ...nextOf(progress, at).filter((name) => !(asked && name === 'cutover')),
  ];
  if (updates.length === 0) return [];
  const lines = updates.flatMap((name) => [
    `# ${name === 'pause' && (at === 'cuttingOver' || at === 'fenced') ? cancelText(progress) : WHAT_IT_DOES[name]}`,
    ...command([
      'temporal workflow update execute',
      `-w ${shellWord(workflowId)}`,
      `--name ${name}`,
      ...(INPUTS[name] === undefined ? [] : [INPUTS[name]]),
    ]),
  ]);
  return ['', '### What you can do now', '', '```', ...lines, '```'];
}

/** One line where it fits, otherwise one argument per line, joined by backslashes so that it can be pasted. */
function command(words: readonly string[]): string[] {
  const line = words.join(' ');
  if (line.length <= CODE_LINE) return [line];
  return words.map(
    (word, i) => `${i === 0 ? '' : '  '}${word}${i === words.length - 1 ? '' : ' \\'}`,
  );
}
